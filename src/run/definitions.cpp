#include "run/definitions.hpp"

#include <algorithm>

#include "plan/answers.hpp"
#include "run/large_objects.hpp"
#include "run/prerequisites.hpp"
#include "sink/definition_sql.hpp"

namespace fastcopy::run {

using core::DumpEntry;
using source::Rows;

namespace {

// A table that was created after the listing would be here without rows.
void check_listed(RunningJob *job, const dump::Section &before_data, const Listing &listing,
                  const SourceFacts &facts) {
    List *known_list = NIL;
    for (int i = 0; i < facts.ntables; i++) {
        known_list = lappend_oid(known_list, facts.tables[i].table.oid);
        for (char *at = const_cast<char *>(listing.leaves[i]); *at != '\0';)
            known_list = lappend_oid(known_list, static_cast<Oid>(strtoul(at, &at, 10)));
    }
    int count = list_length(known_list);
    auto *known = static_cast<Oid *>(palloc(sizeof(Oid) * count + 1));
    for (int i = 0; i < count; i++)
        known[i] = list_nth_oid(known_list, i);
    std::sort(known, known + count);
    StringInfoData others;
    initStringInfo(&others);
    for (int i = 0; i < before_data.count; i++) {
        const DumpEntry &entry = before_data.entries[i];
        if (dump::is_table(entry) && !std::binary_search(known, known + count, entry.oid))
            appendStringInfo(&others, "%s%u", others.len > 0 ? "," : "", entry.oid);
    }
    if (others.len == 0)
        return;
    // Partitioned tables that are partitions themselves have no rows of their own.
    Rows rows = source::query(
        job->connection,
        psprintf("SELECT pg_catalog.concat(pg_catalog.quote_ident(n.nspname), '.',"
                 " pg_catalog.quote_ident(c.relname)) FROM pg_catalog.pg_class c"
                 " JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace"
                 " WHERE c.oid OPERATOR(pg_catalog.=) ANY ('{%s}'::pg_catalog.oid[])"
                 " AND NOT (c.relispartition AND c.relkind OPERATOR(pg_catalog.=)"
                 " 'p'::pg_catalog.\"char\") ORDER BY 1 LIMIT 1",
                 others.data));
    if (rows.count > 0)
        ereport(ERROR, (errcode(ERRCODE_OBJECT_IN_USE),
                        errmsg("source table %s was created while the job started",
                               plan::to_name(rows.at(0, 0))),
                        errhint("Start the job again.")));
}

// What follows CREATE SCHEMA in the entry of a schema, if anything.
const char *without_create(const char *sql) {
    if (strncmp(sql, "CREATE SCHEMA ", strlen("CREATE SCHEMA ")) != 0)
        return sql;
    const char *next = strstr(sql, ";\n");
    return next != nullptr ? next + 1 : "";
}

void create(RunningJob *job, const dump::Section &section) {
    pg::show_activity(psprintf("fastcopy job " INT64_FORMAT, job->area->job),
                      "creating what comes before the rows");
    MemoryContext per_entry =
        AllocSetContextCreate(CurrentMemoryContext, "fastcopy definition", ALLOCSET_DEFAULT_SIZES);
    int nest_level = sink::begin_definitions();
    for (int i = 0; i < section.count; i++) {
        const DumpEntry &entry = section.entries[i];
        check_cancel(job);
        MemoryContext old = MemoryContextSwitchTo(per_entry);
        const char *sql = dump::sql_of(entry);
        // As with pg_restore, a schema may exist; its owner is set.
        if (entry.kind == "SCHEMA" && OidIsValid(get_namespace_oid(dump::copy(entry.name), true)))
            sql = without_create(sql);
        // An entry's own settings are not those of the next.
        bool has_settings = strncmp(sql, "SET LOCAL ", strlen("SET LOCAL ")) == 0;
        int inner_level = has_settings ? sink::begin_definitions() : 0;
        sink::run_definition(dump::copy(entry.kind), dump::shown_name(entry), sql);
        if (has_settings)
            sink::end_definitions(inner_level);
        MemoryContextSwitchTo(old);
        MemoryContextReset(per_entry);
    }
    sink::end_definitions(nest_level);
    MemoryContextDelete(per_entry);
}

// What the definitions need here is said at once, not by pg_restore one by one.
void require_prerequisites(RunningJob *job, const SourceFacts &facts) {
    const job::Request &request = job->request;
    auto *tables = static_cast<Oid *>(palloc(sizeof(Oid) * Max(facts.ntables, 1)));
    for (int i = 0; i < facts.ntables; i++)
        tables[i] = facts.tables[i].table.oid;
    raise_missing(
        find_missing(job->connection, Wanted{.whole = request.include_count == 0,
                                             .with_exceptions = request.exclude_count > 0,
                                             .tables = {tables, static_cast<size_t>(facts.ntables)},
                                             .owners = request.owners,
                                             .privileges = request.privileges}));
}

}  // namespace

void refuse_source(source::Connection *connection) {
    dump::check_version(connection);
    Rows rows = source::query(
        connection,
        "SELECT e.extname FROM pg_catalog.pg_extension e WHERE e.extname OPERATOR(pg_catalog.=)"
        " ANY (ARRAY['timescaledb', 'citus']::pg_catalog.name[]) ORDER BY 1");
    if (rows.count > 0)
        ereport(ERROR,
                (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                 errmsg("cannot create the definitions of a source with extension \"%s\"",
                        rows.at(0, 0)),
                 errdetail("What the extension keeps about its tables is not a part of their "
                           "definitions."),
                 errhint("Create the tables here by the extension's own means, and copy into them "
                         "with definitions => 'keep'.")));
}

void refuse_dangling_keys(source::Connection *connection, const char *oids) {
    Rows rows = source::query(
        connection,
        psprintf(
            "SELECT DISTINCT pg_catalog.concat(pg_catalog.quote_ident(n.nspname), '.',"
            " pg_catalog.quote_ident(c.relname)), n.nspname, c.relname"
            " FROM pg_catalog.pg_constraint k"
            " JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) k.confrelid"
            " JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace"
            " WHERE k.contype OPERATOR(pg_catalog.=) 'f'::pg_catalog.\"char\""
            " AND k.conrelid OPERATOR(pg_catalog.=) ANY ('{%s}'::pg_catalog.oid[])"
            " AND k.confrelid OPERATOR(pg_catalog.<>) ALL ('{%s}'::pg_catalog.oid[]) ORDER BY 1",
            oids, oids));
    StringInfoData missing;
    initStringInfo(&missing);
    for (int i = 0; i < rows.count; i++) {
        Oid schema = get_namespace_oid(rows.at(i, 1), true);
        if (!OidIsValid(schema) || !OidIsValid(get_relname_relid(rows.at(i, 2), schema)))
            appendStringInfo(&missing, "%s%s", missing.len > 0 ? ", " : "",
                             plan::to_name(rows.at(i, 0)));
    }
    if (missing.len > 0)
        ereport(ERROR,
                (errcode(ERRCODE_UNDEFINED_TABLE),
                 errmsg("foreign keys refer to tables that are neither cloned nor exist here"),
                 errdetail_internal("%s", missing.data),
                 errhint("Clone these tables, too, or copy into tables without the keys with "
                         "definitions => 'keep'.")));
}

dump::Dump create_tables(RunningJob *job, const Listing &listing, const SourceFacts &facts) {
    refuse_source(job->connection);
    dump::Dump dumped = dump::read(job, listing);
    check_listed(job, dumped.before_data, listing, facts);
    refuse_dangling_keys(job->connection, dump::oids_of(dumped.before_data, dump::is_table));
    require_prerequisites(job, facts);
    create(job, dumped.before_data);
    // Patterns are for tables.
    if (job->request.include_count == 0)
        copy_large_objects(job);
    find_created(job);
    return dumped;
}

}  // namespace fastcopy::run
