#include "run/find_tables.hpp"

#include <algorithm>

#include "core/name_pattern.hpp"
#include "plan/answers.hpp"
#include "run/coordinator_connection.hpp"

namespace fastcopy::run {

namespace {

using source::Rows;

struct Regexes {
    const char *schema;  // nullptr: of any that is visible
    const char *table;
};

Regexes to_regexes(const char *pattern) {
    size_t size = core::regex_size(strlen(pattern));
    std::span<char> schema{static_cast<char *>(palloc(size)), size};
    std::span<char> table{static_cast<char *>(palloc(size)), size};
    core::NamePattern kind = core::to_regexes(pattern, schema, table);
    if (kind == core::NamePattern::invalid)
        ereport(ERROR,
                (errcode(ERRCODE_SYNTAX_ERROR), errmsg("invalid pattern: \"%s\"", pattern),
                 errhint("Patterns are those of pg_dump -t, such as \"orders\", \"sales.*\".")));
    return Regexes{kind == core::NamePattern::qualified ? schema.data() : nullptr, table.data()};
}

// The condition on pg_class c and pg_namespace n that a table's name is that of the pattern. It is
// evaluated under the default search_path of the source's session, which decides what is visible:
// all else is qualified.
const char *condition_of(const char *pattern) {
    Regexes regexes = to_regexes(pattern);
    const char *match =
        psprintf("c.relname OPERATOR(pg_catalog.~) %s::pg_catalog.text COLLATE pg_catalog.default",
                 quote_literal_cstr(regexes.table));
    if (regexes.schema == nullptr)
        return psprintf("(%s AND pg_catalog.pg_table_is_visible(c.oid))", match);
    return psprintf(
        "(%s AND n.nspname OPERATOR(pg_catalog.~) %s::pg_catalog.text COLLATE pg_catalog.default)",
        match, quote_literal_cstr(regexes.schema));
}

// The condition of one pattern at least.
const char *any_of(const char **patterns, int count) {
    StringInfoData conditions;
    initStringInfo(&conditions);
    for (int i = 0; i < count; i++)
        appendStringInfo(&conditions, "%s%s", i > 0 ? " OR " : "(", condition_of(patterns[i]));
    appendStringInfoString(&conditions, count > 0 ? ")" : "false");
    return conditions.data;
}

// What may be copied at all: nothing of the system's.
#define RELATIONS_OF_KINDS(kinds)                                            \
    " FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n"             \
    " ON n.oid OPERATOR(pg_catalog.=) c.relnamespace"                        \
    " WHERE c.relkind OPERATOR(pg_catalog.=) ANY (ARRAY[" kinds              \
    "]::pg_catalog.\"char\"[])"                                              \
    " AND c.relpersistence OPERATOR(pg_catalog.<>) 't'::pg_catalog.\"char\"" \
    " AND n.nspname OPERATOR(pg_catalog.!~) '^pg_'"                          \
    " AND n.nspname OPERATOR(pg_catalog.<>) 'information_schema'::pg_catalog.name"
#define COPIED_FROM RELATIONS_OF_KINDS("'r', 'p'")

// A pattern with a typing error would silently copy less, or more, than was meant.
void check_patterns(source::Connection *connection, const char *argument, const char **patterns,
                    int count) {
    for (int i = 0; i < count; i++) {
        Rows found = source::query(connection, psprintf("SELECT" COPIED_FROM " AND %s LIMIT 1",
                                                        condition_of(patterns[i])));
        if (found.count == 0)
            ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE),
                            errmsg("no table on the source matches pattern \"%s\" of argument "
                                   "\"%s\"",
                                   patterns[i], argument)));
    }
}

// The condition that a relation is one of those that the request asks for.
const char *included(const job::Request &request) {
    return request.include_count > 0
               ? any_of(request.include, request.include_count)
               : "NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid"
                 " OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass"
                 "::pg_catalog.oid AND d.objid OPERATOR(pg_catalog.=) c.oid"
                 " AND d.deptype OPERATOR(pg_catalog.=) 'e'::pg_catalog.\"char\")";
}

// The tables: OID; schema and name; both quoted; a partition that is to be left out, which is not
// possible; whether other tables inherit from it; the OIDs of its leaves.
Rows query_tables(source::Connection *connection, const job::Request &request) {
    const char *include = included(request);
    const char *exclude = any_of(request.exclude, request.exclude_count);
    return source::query(
        connection,
        psprintf(
            "WITH RECURSIVE m AS (SELECT c.oid, c.relispartition, c.relkind, c.relhassubclass,"
            " n.nspname, c.relname, %s AS excluded" COPIED_FROM " AND (%s OR %s)),"
            " a(oid, ancestor) AS (SELECT m.oid, i.inhparent FROM m JOIN pg_catalog.pg_inherits i"
            " ON i.inhrelid OPERATOR(pg_catalog.=) m.oid WHERE m.relispartition"
            " UNION SELECT a.oid, i.inhparent FROM a JOIN pg_catalog.pg_inherits i"
            " ON i.inhrelid OPERATOR(pg_catalog.=) a.ancestor),"
            " t AS (SELECT * FROM m WHERE NOT EXISTS (SELECT FROM a JOIN m r"
            " ON r.oid OPERATOR(pg_catalog.=) a.ancestor"
            " WHERE a.oid OPERATOR(pg_catalog.=) m.oid) AND NOT m.excluded),"
            " d(root, oid) AS (SELECT t.oid, t.oid FROM t UNION ALL SELECT d.root, i.inhrelid"
            " FROM d JOIN pg_catalog.pg_inherits i ON i.inhparent OPERATOR(pg_catalog.=) d.oid%s"
            " JOIN pg_catalog.pg_class p ON p.oid OPERATOR(pg_catalog.=) i.inhparent"
            " AND p.relkind OPERATOR(pg_catalog.=) 'p'::pg_catalog.\"char\"),"
            " l AS (SELECT d.root, pg_catalog.string_agg(d.oid::pg_catalog.text, ' ' ORDER BY "
            "d.oid)"
            " AS leaves FROM d JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) d.oid"
            " WHERE c.relkind OPERATOR(pg_catalog.<>) 'p'::pg_catalog.\"char\""
            " AND c.relpersistence OPERATOR(pg_catalog.<>) 't'::pg_catalog.\"char\" GROUP BY "
            "d.root)"
            " SELECT t.oid, t.nspname, t.relname,"
            " pg_catalog.concat(pg_catalog.quote_ident(t.nspname), '.',"
            " pg_catalog.quote_ident(t.relname)), (SELECT pg_catalog.min(pg_catalog.concat("
            "pg_catalog.quote_ident(m.nspname), '.', pg_catalog.quote_ident(m.relname)))"
            " FROM a JOIN m ON m.oid OPERATOR(pg_catalog.=) a.oid AND m.excluded"
            " WHERE a.ancestor OPERATOR(pg_catalog.=) t.oid),"
            " t.relkind OPERATOR(pg_catalog.=) 'r'::pg_catalog.\"char\" AND t.relhassubclass"
            " AND EXISTS (SELECT FROM pg_catalog.pg_inherits i"
            " WHERE i.inhparent OPERATOR(pg_catalog.=) t.oid)"
            ", coalesce(l.leaves, '') FROM t LEFT JOIN l ON l.root OPERATOR(pg_catalog.=) t.oid"
            " ORDER BY 2, 3",
            exclude, include, exclude,
            source::server_version(connection) >= 140000 ? " AND NOT i.inhdetachpending" : ""));
}

bool matches(const char *regex, const char *name) {
    return DatumGetBool(DirectFunctionCall2Coll(
        textregexeq, DEFAULT_COLLATION_OID, CStringGetTextDatum(name), CStringGetTextDatum(regex)));
}

bool matches_any(const char **patterns, int count, const char *schema_name, const char *name) {
    bool found = false;
    for (int i = 0; i < count && !found; i++) {
        Regexes regexes = to_regexes(patterns[i]);
        found = matches(regexes.table, name) &&
                (regexes.schema == nullptr || matches(regexes.schema, schema_name));
    }
    return found;
}

// Whether the caller has asked for the table. The source says which tables there are, and its answer
// decides which tables here are written to: it must not be trusted with others.
bool is_asked_for(const job::Request &request, const char *schema, const char *name, Oid target) {
    if (strncmp(schema, "pg_", 3) == 0 || strcmp(schema, "information_schema") == 0)
        return false;
    if (request.include_count == 0 && OidIsValid(getExtensionOfObject(RelationRelationId, target)))
        return false;
    return (request.include_count == 0 ||
            matches_any(request.include, request.include_count, schema, name));
}

void check_distinct(const job::Request &request) {
    auto *targets = static_cast<Oid *>(palloc(sizeof(Oid) * request.ntables));
    for (int i = 0; i < request.ntables; i++)
        targets[i] = request.tables[i].target;
    std::sort(targets, targets + request.ntables);
    if (std::adjacent_find(targets, targets + request.ntables) != targets + request.ntables)
        source::raise_odd_answer("The source returned a table twice.");
}

// Names of tables for a message, as many as can be read.
struct NameList {
    StringInfoData names;
    int count;
};

void add_name(NameList *list, const char *name) {
    constexpr int most = 20;
    if (list->count == 0)
        initStringInfo(&list->names);
    list->count++;
    if (list->count <= most)
        appendStringInfo(&list->names, "%s%s", list->count > 1 ? ", " : "", name);
    else if (list->count == most + 1)
        appendStringInfoString(&list->names, ", ...");
}

// OIDs with a space between them, or nothing.
const char *to_oids(const char *text) {
    const char *at = text;
    while (*at != '\0') {
        size_t digits = strspn(at, "0123456789");
        bool more = at[digits] == ' ' && at[digits + 1] != '\0';
        if (digits == 0 || digits > 10 || (at[digits] != '\0' && !more))
            source::raise_odd_answer("The source returned something else than OIDs.");
        at += digits + (more ? 1 : 0);
    }
    return text;
}

Names list_partitions(source::Connection *connection, const char **patterns, int count) {
    Rows rows = source::query(
        connection,
        psprintf("WITH RECURSIVE p AS (SELECT c.oid, c.relispartition" COPIED_FROM
                 " AND %s UNION SELECT c.oid, c.relispartition FROM p"
                 " JOIN pg_catalog.pg_inherits i ON i.inhparent OPERATOR(pg_catalog.=) p.oid"
                 " JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) i.inhrelid"
                 " WHERE c.relispartition)"
                 " SELECT pg_catalog.concat(pg_catalog.quote_ident(n.nspname), '.',"
                 " pg_catalog.quote_ident(c.relname)) FROM p"
                 " JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) p.oid"
                 " JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace"
                 " WHERE p.relispartition ORDER BY 1",
                 any_of(patterns, count)));
    Names names{rows.count, static_cast<const char **>(palloc(sizeof(char *) * rows.count + 1))};
    for (int i = 0; i < rows.count; i++)
        names.names[i] = plan::to_name(rows.at(i, 0));
    return names;
}

}  // namespace

Listing list_tables(source::Connection *connection, job::Request *request, MemoryContext context) {
    check_patterns(connection, "tables", request->include, request->include_count);
    check_patterns(connection, "exclude", request->exclude, request->exclude_count);
    Rows rows = query_tables(connection, *request);
    if (rows.count == 0)
        ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE),
                        errmsg("the source has no table that is to be copied")));
    MemoryContext old = MemoryContextSwitchTo(context);
    auto count = static_cast<size_t>(rows.count);
    Listing listing{};
    listing.leaves = static_cast<const char **>(palloc(sizeof(char *) * count));
    listing.oids = static_cast<Oid *>(palloc(sizeof(Oid) * count));
    listing.is_parent = static_cast<bool *>(palloc(sizeof(bool) * count));
    if (request->create) {
        listing.partitions = list_partitions(connection, request->include, request->include_count);
        listing.excluded_partitions =
            list_partitions(connection, request->exclude, request->exclude_count);
    }
    request->tables = static_cast<job::Table *>(palloc0(sizeof(job::Table) * count));
    for (int i = 0; i < rows.count; i++) {
        const char *schema = pstrdup(rows.at(i, 1));
        const char *name = pstrdup(rows.at(i, 2));
        RangeVar *range = makeRangeVar(const_cast<char *>(schema), const_cast<char *>(name), -1);
        Oid target = RangeVarGetRelid(range, NoLock, true);
        if (!is_asked_for(*request, schema, name, target))
            source::raise_odd_answer("The source returned a table that was not asked for.");
        const char *quoted = quote_qualified_identifier(schema, name);
        if (rows.at_or_null(i, 4) != nullptr)
            ereport(ERROR,
                    (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                     errmsg("cannot leave out partition %s of table %s", rows.at(i, 4), quoted),
                     errhint("Give the table a filter, or leave it out as a whole.")));
        listing.oids[i] = plan::oid_at(rows, i, 0);
        listing.is_parent[i] = plan::to_bool(rows.at(i, 5));
        listing.leaves[i] = pstrdup(to_oids(rows.at(i, 6)));
        request->tables[i] = job::Table{.source_table = pstrdup(plan::to_name(rows.at(i, 3))),
                                        .target_table = quoted,
                                        .target = target,
                                        .key = nullptr,
                                        .filter = nullptr,
                                        .ncolumns = -1,
                                        .columns = nullptr};
    }
    request->ntables = rows.count;
    MemoryContextSwitchTo(old);
    return listing;
}

void refuse_hypertables(source::Connection *connection, const job::Request &request,
                        const Listing &listing) {
    NameList parents{};
    for (int i = 0; i < request.ntables; i++) {
        if (listing.is_parent[i])
            add_name(&parents, request.tables[i].target_table);
    }
    if (parents.count == 0)
        return;
    Rows rows = source::query(connection,
                              "SELECT FROM pg_catalog.pg_extension WHERE extname"
                              " OPERATOR(pg_catalog.=) 'timescaledb'::pg_catalog.name");
    if (rows.count > 0)
        ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                        errmsg("cannot clone hypertables, or tables that others inherit from, of a "
                               "source with TimescaleDB"),
                        errdetail_internal("%s", parents.names.data),
                        errhint("Leave them out with the argument \"exclude\", and copy them one "
                                "by one with fastcopy.copy.")));
}

void set_filters(source::Connection *connection, job::Request *request, const Listing &listing) {
    for (int i = 0; i < request->filter_count; i++) {
        const char *name = request->filtered[i];
        Rows found =
            source::query(connection, "SELECT $1::pg_catalog.regclass::pg_catalog.oid", 1, &name);
        Oid oid = plan::oid_at(found, 0, 0);
        int at = 0;
        while (at < request->ntables && listing.oids[at] != oid)
            at++;
        if (at == request->ntables)
            ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                            errmsg("there is a filter for table \"%s\", which is not copied", name),
                            errhint("A filter is for a table as a whole, not for a partition of "
                                    "it.")));
        if (request->tables[at].filter != nullptr)
            ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                            errmsg("there is more than one filter for table \"%s\"", name)));
        request->tables[at].filter = request->filters[i];
    }
}

Names list_foreign_tables(source::Connection *connection, const job::Request &request) {
    Rows rows = source::query(
        connection, psprintf("SELECT pg_catalog.concat(pg_catalog.quote_ident(n.nspname), '.',"
                             " pg_catalog.quote_ident(c.relname))" RELATIONS_OF_KINDS(
                                 "'f'") " AND NOT "
                                        "c.relispartition AND %s AND NOT %s ORDER BY 1",
                             included(request), any_of(request.exclude, request.exclude_count)));
    Names names{rows.count, static_cast<const char **>(palloc(sizeof(char *) * rows.count + 1))};
    for (int i = 0; i < rows.count; i++)
        names.names[i] = plan::to_name(rows.at(i, 0));
    return names;
}

Listing find_tables(RunningJob *job) {
    job::Request *request = &job->request;
    job->connection = connect_coordinator(job);
    Listing listing = list_tables(job->connection, request, TopMemoryContext);
    NameList missing{};
    NameList existing{};
    for (int i = 0; i < request->ntables; i++) {
        const job::Table &table = request->tables[i];
        if (request->create && OidIsValid(table.target))
            add_name(&existing, table.target_table);
        else if (!request->create && !OidIsValid(table.target))
            add_name(&missing, table.target_table);
    }
    if (missing.count > 0)
        ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE),
                        errmsg_plural("%d table of the source does not exist here",
                                      "%d tables of the source do not exist here", missing.count,
                                      missing.count),
                        errdetail_internal("%s", missing.names.data),
                        errhint("Have them created with definitions => 'create', or leave them out "
                                "with the argument \"exclude\".")));
    if (existing.count > 0)
        ereport(ERROR,
                (errcode(ERRCODE_DUPLICATE_TABLE),
                 errmsg_plural("%d table of the source exists here already",
                               "%d tables of the source exist here already", existing.count,
                               existing.count),
                 errdetail_internal("%s", existing.names.data),
                 errhint("Drop them, leave them out with the argument \"exclude\", or copy into "
                         "tables that exist with definitions => 'keep'.")));
    refuse_hypertables(job->connection, *request, listing);
    if (!request->create)
        check_distinct(*request);
    set_filters(job->connection, request, listing);
    return listing;
}

void find_created(RunningJob *job) {
    job::Request *request = &job->request;
    for (int i = 0; i < request->ntables; i++) {
        job::Table *table = &request->tables[i];
        List *name = textToQualifiedNameList(cstring_to_text(table->target_table));
        table->target = RangeVarGetRelid(makeRangeVarFromNameList(name), NoLock, true);
        if (!OidIsValid(table->target))
            source::raise_odd_answer(
                psprintf("The definitions of the source have no table %s.", table->target_table));
    }
    check_distinct(*request);
}

void check_unchanged(const Listing &listing, const SourceFacts &facts) {
    for (int i = 0; i < facts.ntables; i++) {
        const plan::Leaves &leaves = facts.tables[i].leaves;
        StringInfoData oids;
        initStringInfo(&oids);
        for (int j = 0; j < leaves.count; j++)
            appendStringInfo(&oids, "%s%u", j > 0 ? " " : "", leaves.leaves[j].oid);
        if (strcmp(oids.data, listing.leaves[i]) != 0)
            ereport(
                ERROR,
                (errcode(ERRCODE_OBJECT_IN_USE),
                 errmsg("partitions or children of source table %s changed while the job started",
                        facts.tables[i].table.name),
                 errhint("Start the job again.")));
        pfree(oids.data);
    }
}

}  // namespace fastcopy::run
