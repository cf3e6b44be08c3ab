// fastcopy.check: what the definitions of the source need here, and what is in their way.
#include <algorithm>

#include "pg/acl.hpp"
#include "plan/answers.hpp"
#include "run/check_steps.hpp"
#include "run/definitions.hpp"
#include "run/local_query.hpp"
#include "run/prerequisites.hpp"

namespace fastcopy::run::check {

using source::Rows;

namespace {

// What shares a name space here, its kind and its name; %s are conditions, one each on relations c,
// types y and all others (class k.classid, OID k.objid).
constexpr const char *objects_sql =
    "SELECT * FROM (SELECT 'relation', CASE c.relkind WHEN 'v' THEN 'view' WHEN 'm' THEN"
    " 'materialized view' WHEN 'S' THEN 'sequence' WHEN 'f' THEN 'foreign table'"
    " WHEN 'c' THEN 'type' WHEN 'i' THEN 'index' WHEN 'I' THEN 'index' ELSE 'table' END,"
    " pg_catalog.concat(pg_catalog.quote_ident(n.nspname), '.', pg_catalog.quote_ident(c.relname))"
    " FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
    " WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f', 'c', 'i', 'I')"
    " AND c.relpersistence <> 't' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'%s"
    " UNION ALL SELECT 'type', 'type',"
    " pg_catalog.concat(pg_catalog.quote_ident(n.nspname), '.', pg_catalog.quote_ident(y.typname))"
    " FROM pg_catalog.pg_type y JOIN pg_catalog.pg_namespace n ON n.oid = y.typnamespace"
    " WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_type e WHERE e.typarray = y.oid)"
    " AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'%s"
    " UNION ALL SELECT k.kind, k.kind, pg_catalog.concat(CASE WHEN k.schema <> 0 THEN"
    " pg_catalog.concat((SELECT pg_catalog.quote_ident(n.nspname) FROM pg_catalog.pg_namespace n"
    " WHERE n.oid = k.schema), '.') END, pg_catalog.quote_ident(k.name), k.more) FROM ("
    "SELECT 'function' AS kind, 'pg_catalog.pg_proc'::pg_catalog.regclass AS classid, p.oid"
    " AS objid, p.pronamespace AS schema, p.proname AS name,"
    " pg_catalog.concat('(', pg_catalog.oidvectortypes(p.proargtypes), ')') AS more"
    " FROM pg_catalog.pg_proc p UNION ALL"
    " SELECT 'collation', 'pg_catalog.pg_collation', l.oid, l.collnamespace, l.collname, ''"
    " FROM pg_catalog.pg_collation l UNION ALL"
    " SELECT 'statistics object', 'pg_catalog.pg_statistic_ext', s.oid, s.stxnamespace, s.stxname,"
    " '' FROM pg_catalog.pg_statistic_ext s UNION ALL"
    " SELECT 'text search configuration', 'pg_catalog.pg_ts_config', t.oid, t.cfgnamespace,"
    " t.cfgname, '' FROM pg_catalog.pg_ts_config t UNION ALL"
    " SELECT 'text search dictionary', 'pg_catalog.pg_ts_dict', t.oid, t.dictnamespace, t.dictname,"
    " '' FROM pg_catalog.pg_ts_dict t UNION ALL"
    " SELECT 'publication', 'pg_catalog.pg_publication', p.oid, 0, p.pubname, ''"
    " FROM pg_catalog.pg_publication p UNION ALL"
    " SELECT 'event trigger', 'pg_catalog.pg_event_trigger', t.oid, 0, t.evtname, ''"
    " FROM pg_catalog.pg_event_trigger t UNION ALL"
    " SELECT 'foreign-data wrapper', 'pg_catalog.pg_foreign_data_wrapper', f.oid, 0, f.fdwname, ''"
    " FROM pg_catalog.pg_foreign_data_wrapper f UNION ALL"
    " SELECT 'server', 'pg_catalog.pg_foreign_server', f.oid, 0, f.srvname, ''"
    " FROM pg_catalog.pg_foreign_server f) k WHERE k.objid >= 16384%s) o ORDER BY 3, 1";

// The relations that are created, with their types; the rest only if the whole database is.
const char *created_sql(bool whole) {
    const char *relations = psprintf(
        " AND (CASE WHEN c.relkind IN ('r', 'p') THEN c.oid IN (SELECT oid FROM r)"
        " WHEN c.relkind IN ('i', 'I') THEN EXISTS (SELECT FROM pg_catalog.pg_index i"
        " JOIN r ON r.oid = i.indrelid WHERE i.indexrelid = c.oid)"
        " WHEN c.relkind = 'S' THEN EXISTS (SELECT FROM pg_catalog.pg_depend d"
        " JOIN r ON r.oid = d.refobjid WHERE d.objid = c.oid AND d.deptype IN ('a', 'i')"
        " AND d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass) OR %s AND NOT EXISTS"
        " (SELECT FROM pg_catalog.pg_depend d WHERE d.objid = c.oid AND d.deptype IN ('a',"
        " 'i') AND d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass)"
        " ELSE %s END AND NOT EXISTS (SELECT FROM x WHERE x.objid = c.oid"
        " AND x.classid = 'pg_catalog.pg_class'::pg_catalog.regclass))",
        whole ? "true" : "false", whole ? "true" : "false");
    const char *types = psprintf(
        " AND (y.typrelid IN (SELECT oid FROM r) OR %s AND y.typrelid = 0"
        " AND NOT EXISTS (SELECT FROM x WHERE x.objid = y.oid"
        " AND x.classid = 'pg_catalog.pg_type'::pg_catalog.regclass))",
        whole ? "true" : "false");
    const char *others = psprintf(
        " AND %s AND NOT EXISTS (SELECT FROM x WHERE x.objid = k.objid"
        " AND x.classid = k.classid)",
        whole ? "true" : "false");
    return psprintf(
        "%s, x AS (SELECT d.classid, d.objid FROM pg_catalog.pg_depend d"
        " WHERE d.deptype = 'e') %s",
        WITH_RELATIONS, psprintf(objects_sql, relations, types, others));
}

// The order of both answers: by name and class, byte by byte, whatever the servers' collations are.
struct Object {
    const char *space;
    const char *kind;
    const char *name;

    bool operator<(const Object &other) const {
        int names = strcmp(name, other.name);
        return names != 0 ? names < 0 : strcmp(space, other.space) < 0;
    }
};

std::span<Object> sorted_objects(const Rows &rows) {
    auto *objects = static_cast<Object *>(MemoryContextAllocHuge(
        CurrentMemoryContext, sizeof(Object) * (static_cast<Size>(rows.count) + 1)));
    for (int i = 0; i < rows.count; i++)
        objects[i] = Object{rows.at(i, 0), rows.at(i, 1), rows.at(i, 2)};
    std::sort(objects, objects + rows.count);
    return {objects, static_cast<size_t>(rows.count)};
}

void add_clash(Check *check, const Object &here) {
    bool is_table = strcmp(here.kind, "table") == 0;
    check->add(Severity::error, here.name,
               psprintf(_("%s %s exists here already"), here.kind, here.name),
               is_table ? _("Drop it, leave it out with the argument \"exclude\", or copy into "
                            "tables that exist with definitions => 'keep'.")
                        : _("Drop or rename it."));
}

}  // namespace

void check_missing(Check *check, int) {
    const job::Request &request = check->request;
    Findings missing =
        find_missing(check->connection,
                     Wanted{.whole = request.create && request.include_count == 0,
                            .with_exceptions = request.exclude_count > 0,
                            .tables = {check->listing.oids, static_cast<size_t>(request.ntables)},
                            .owners = request.create && request.owners,
                            .privileges = request.create && request.privileges});
    for (int i = 0; i < missing.count; i++) {
        const Finding &finding = missing.findings[i];
        // Tables that exist here have all that they need.
        if (request.create || finding.severity != Severity::error)
            check->add(finding.severity, finding.object, finding.finding, finding.hint);
    }
}

void check_foreign_keys(Check *check, int) {
    const char *oids = check->oids();
    Rows rows = source::query(check->connection,
                              WITH_RELATIONS
                              " SELECT pg_catalog.string_agg(r.oid::pg_catalog.text, ',') FROM r",
                              1, &oids);
    const char *all = rows.at(0, 0);
    if (strspn(all, "0123456789,") != strlen(all))
        source::raise_odd_answer("The source returned something else than numbers.");
    refuse_dangling_keys(check->connection, all);
}

void check_clashes(Check *check, int) {
    const char *oids = check->oids();
    Rows theirs =
        source::query(check->connection, created_sql(check->request.include_count == 0), 1, &oids);
    Rows ours = query_here(psprintf(objects_sql, "", "", ""));
    std::span<Object> here = sorted_objects(ours);
    const char *last = "";
    for (const Object &object : sorted_objects(theirs)) {
        auto found = std::lower_bound(here.begin(), here.end(), object);
        if (found == here.end() || object < *found || strcmp(last, object.name) == 0)
            continue;
        // The type of a table's rows is the same clash again.
        last = object.name;
        add_clash(check, *found);
    }
}

void check_schemas(Check *check, int) {
    const job::Request &request = check->request;
    const char *last = "";
    bool may_create = pg::check_database(MyDatabaseId, GetUserId(), ACL_CREATE) == ACLCHECK_OK;
    for (int i = 0; i < request.ntables; i++) {
        List *names = textToQualifiedNameList(cstring_to_text(request.tables[i].target_table));
        const char *schema = strVal(linitial(names));
        if (strcmp(schema, last) == 0)
            continue;
        last = schema;
        Oid oid = get_namespace_oid(schema, true);
        const char *object = psprintf("schema %s", quote_identifier(schema));
        if (OidIsValid(oid) && pg::check_schema(oid, GetUserId(), ACL_CREATE) != ACLCHECK_OK)
            check->add(Severity::error, object,
                       psprintf(_("permission denied for schema %s"), schema),
                       _("Grant CREATE on the schema."));
        else if (!OidIsValid(oid) && request.include_count == 0 && !may_create)
            check->add(Severity::error, object,
                       psprintf(_("permission denied to create schema \"%s\""), schema),
                       _("Grant CREATE on the database."));
    }
}

// Looks for one that is on both sides, some at a time of those that are here.
void check_large_objects(Check *check, int) {
    const char *after = "0";
    for (;;) {
        Rows here = query_here(
            "SELECT pg_catalog.array_agg(l.oid), pg_catalog.max(l.oid) FROM (SELECT m.oid"
            " FROM pg_catalog.pg_largeobject_metadata m WHERE m.oid > $1::pg_catalog.oid"
            " ORDER BY 1 LIMIT 100000) l",
            {&after, 1});
        const char *oids = here.at_or_null(0, 0);
        if (oids == nullptr)
            return;
        Rows both = source::query(check->connection,
                                  "SELECT pg_catalog.min(m.oid)"
                                  " FROM pg_catalog.pg_largeobject_metadata m"
                                  " WHERE m.oid = ANY ($1::pg_catalog.oid[])",
                                  1, &oids);
        if (both.at_or_null(0, 0) != nullptr) {
            check->add(
                Severity::error, psprintf("large object %u", plan::oid_at(both, 0, 0)),
                psprintf(_("large objects of the source exist here already, the first is %u"),
                         plan::oid_at(both, 0, 0)),
                _("Remove them with lo_unlink, or clone into another database."));
            return;
        }
        after = here.at(0, 1);
    }
}

void check_subscriptions(Check *check, int) {
    Rows rows = source::query(check->connection,
                              "SELECT s.subname FROM pg_catalog.pg_subscription s"
                              " JOIN pg_catalog.pg_database b ON b.oid = s.subdbid"
                              " WHERE b.datname = pg_catalog.current_database() ORDER BY 1");
    for (int i = 0; i < rows.count; i++)
        check->add(Severity::info, psprintf("subscription %s", quote_identifier(rows.at(i, 0))),
                   psprintf(_("subscription \"%s\" of the source is not created"), rows.at(i, 0)),
                   _("To subscribe here, too, run CREATE SUBSCRIPTION after the clone."));
}

}  // namespace fastcopy::run::check
