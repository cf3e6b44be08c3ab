#include "run/find_tables.hpp"

#include "core/name_pattern.hpp"
#include "plan/answers.hpp"
#include "run/coordinator_connection.hpp"

namespace fastcopy::run {

namespace {

using source::Rows;

// The condition on pg_class c and pg_namespace n that a table's name is that of the pattern. It is
// evaluated under the default search_path of the source's session, which decides what is visible:
// all else is qualified.
const char *condition_of(const char *pattern) {
    size_t size = core::regex_size(strlen(pattern));
    std::span<char> schema{static_cast<char *>(palloc(size)), size};
    std::span<char> table{static_cast<char *>(palloc(size)), size};
    core::NamePattern kind = core::to_regexes(pattern, schema, table);
    if (kind == core::NamePattern::invalid)
        ereport(ERROR,
                (errcode(ERRCODE_SYNTAX_ERROR), errmsg("invalid pattern: \"%s\"", pattern),
                 errhint("Patterns are those of pg_dump -t, such as \"orders\", \"sales.*\".")));
    const char *match =
        psprintf("c.relname OPERATOR(pg_catalog.~) %s::pg_catalog.text COLLATE pg_catalog.default",
                 quote_literal_cstr(table.data()));
    if (kind == core::NamePattern::table)
        return psprintf("(%s AND pg_catalog.pg_table_is_visible(c.oid))", match);
    return psprintf(
        "(%s AND n.nspname OPERATOR(pg_catalog.~) %s::pg_catalog.text COLLATE pg_catalog.default)",
        match, quote_literal_cstr(schema.data()));
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

// What may be copied at all.
#define COPIED_FROM                                                                        \
    " FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n"                           \
    " ON n.oid OPERATOR(pg_catalog.=) c.relnamespace"                                      \
    " WHERE c.relkind OPERATOR(pg_catalog.=) ANY (ARRAY['r', 'p']::pg_catalog.\"char\"[])" \
    " AND c.relpersistence OPERATOR(pg_catalog.<>) 't'::pg_catalog.\"char\""

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

// The names of the tables, quoted and not, and their OIDs. The last columns: a partition of such a
// table that is to be left out, which is not possible, and whether other tables inherit from it.
Rows list_tables(source::Connection *connection, const job::Request &request) {
    const char *include =
        request.include_count > 0
            ? any_of(request.include, request.include_count)
            : "n.nspname OPERATOR(pg_catalog.!~) '^pg_'"
              " AND n.nspname OPERATOR(pg_catalog.<>) 'information_schema'::pg_catalog.name"
              " AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d"
              " WHERE d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass"
              "::pg_catalog.oid AND d.objid OPERATOR(pg_catalog.=) c.oid"
              " AND d.deptype OPERATOR(pg_catalog.=) 'e'::pg_catalog.\"char\")";
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
            " ON r.oid OPERATOR(pg_catalog.=) a.ancestor AND NOT r.excluded"
            " WHERE a.oid OPERATOR(pg_catalog.=) m.oid))"
            " SELECT t.oid, t.nspname, t.relname,"
            " pg_catalog.concat(pg_catalog.quote_ident(t.nspname), '.',"
            " pg_catalog.quote_ident(t.relname)), (SELECT min(pg_catalog.concat("
            "pg_catalog.quote_ident(m.nspname), '.', pg_catalog.quote_ident(m.relname)))"
            " FROM a JOIN m ON m.oid OPERATOR(pg_catalog.=) a.oid AND m.excluded"
            " WHERE a.ancestor OPERATOR(pg_catalog.=) t.oid),"
            " t.relkind OPERATOR(pg_catalog.=) 'r'::pg_catalog.\"char\" AND t.relhassubclass"
            " AND EXISTS (SELECT FROM pg_catalog.pg_inherits i"
            " WHERE i.inhparent OPERATOR(pg_catalog.=) t.oid)"
            " FROM t WHERE NOT t.excluded ORDER BY 2, 3",
            exclude, include, exclude));
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

// Sets the filters of the tables that they name.
void set_filters(source::Connection *connection, job::Request *request, const Rows &tables) {
    for (int i = 0; i < request->filter_count; i++) {
        const char *name = request->filtered[i];
        Rows found =
            source::query(connection, "SELECT $1::pg_catalog.regclass::pg_catalog.oid", 1, &name);
        Oid oid = plan::oid_at(found, 0, 0);
        int at = 0;
        while (at < tables.count && plan::oid_at(tables, at, 0) != oid)
            at++;
        if (at == tables.count)
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

}  // namespace

void find_tables(RunningJob *job) {
    job::Request *request = &job->request;
    job->connection = connect_coordinator(job);
    source::Connection *connection = job->connection;
    check_patterns(connection, "tables", request->include, request->include_count);
    check_patterns(connection, "exclude", request->exclude, request->exclude_count);
    Rows rows = list_tables(connection, *request);
    if (rows.count == 0)
        ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE),
                        errmsg("the source has no table that is to be copied")));
    MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);
    request->tables = static_cast<job::Table *>(palloc0(sizeof(job::Table) * rows.count));
    NameList missing{};
    NameList parents{};
    for (int i = 0; i < rows.count; i++) {
        RangeVar *name = makeRangeVar(pstrdup(rows.at(i, 1)), pstrdup(rows.at(i, 2)), -1);
        Oid target = RangeVarGetRelid(name, NoLock, true);
        const char *quoted = plan::to_name(rows.at(i, 3));
        if (!OidIsValid(target))
            add_name(&missing, quoted);
        if (plan::to_bool(rows.at(i, 5)))
            add_name(&parents, quoted);
        if (rows.at_or_null(i, 4) != nullptr)
            ereport(ERROR,
                    (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                     errmsg("cannot leave out partition %s of table %s", rows.at(i, 4), quoted),
                     errhint("Give the table a filter, or leave it out as a whole.")));
        request->tables[i] = job::Table{.source_table = pstrdup(quoted),
                                        .target_table = pstrdup(quoted),
                                        .target = target,
                                        .key = nullptr,
                                        .filter = nullptr,
                                        .ncolumns = -1,
                                        .columns = nullptr};
    }
    request->ntables = rows.count;
    MemoryContextSwitchTo(old);
    if (missing.count > 0)
        ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE),
                        errmsg_plural("%d table of the source does not exist here",
                                      "%d tables of the source do not exist here", missing.count,
                                      missing.count),
                        errdetail_internal("%s", missing.names.data),
                        errhint("Create them first, with pg_dump --section=pre-data, or leave "
                                "them out with the argument \"exclude\".")));
    if (parents.count > 0)
        ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                        errmsg("cannot clone tables that others inherit from"),
                        errdetail_internal("%s", parents.names.data),
                        errhint("Leave them out with the argument \"exclude\".")));
    set_filters(connection, request, rows);
}

}  // namespace fastcopy::run
