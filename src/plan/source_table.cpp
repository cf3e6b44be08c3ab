#include "plan/source_table.hpp"

#include "pg/arrays.hpp"
#include "plan/answers.hpp"
#include "source/session.hpp"

namespace fastcopy::plan {

using source::Connection;
using source::Rows;

namespace {

// The size of a relation's file; 0 if it was dropped meanwhile.
int64 size_at(const Rows &rows, int row, int column) {
    constexpr int64 most = INT64CONST(1) << 47;  // 2^32 blocks of the largest size
    return rows.at_or_null(row, column) != nullptr ? rows.number_at(row, column, 0, most) : 0;
}

// An SQL expression for a relation's quoted name.
constexpr const char *quoted_name_sql =
    "pg_catalog.concat(pg_catalog.quote_ident(n.nspname), '.', pg_catalog.quote_ident(c.relname))";

// Tables that one query asks for.
constexpr size_t most_per_query = 200;

// The OIDs of tables as an array in SQL.
const char *oids_of(std::span<const SourceTable> tables) {
    auto *oids = static_cast<Oid *>(palloc(sizeof(Oid) * tables.size() + 1));
    for (size_t i = 0; i < tables.size(); i++)
        oids[i] = tables[i].oid;
    return OidOutputFunctionCall(F_ARRAY_OUT, pg::oid_array(oids, static_cast<int>(tables.size())));
}

// The rows of an answer about several tables, table by table: those from `row` on whose last column
// has this table's number, from 0. Returns the row after them.
int end_of_table(const Rows &rows, int row, size_t table) {
    while (row < rows.count &&
           rows.number_at(row, rows.columns - 1, 1, INT_MAX) == static_cast<int64>(table) + 1)
        row++;
    return row;
}

void check_all_read(const Rows &rows, int row) {
    if (row != rows.count)
        source::raise_odd_answer("The source returned a row for a table that was not asked for.");
}

// Asks a query about tables, whose OIDs are its parameter, and gives `take` the rows of each: the
// number of the table, the answer, and which of its rows.
template <typename Take>
void ask_about(Connection *connection, const char *sql, std::span<const SourceTable> tables,
               Take take) {
    for (size_t first = 0; first < tables.size(); first += most_per_query) {
        std::span<const SourceTable> some =
            tables.subspan(first).first(Min(tables.size() - first, most_per_query));
        const char *oids = oids_of(some);
        Rows rows = source::query(connection, sql, 1, &oids);
        int row = 0;
        for (size_t i = 0; i < some.size(); i++) {
            int end = end_of_table(rows, row, i);
            take(first + i, rows, row, end);
            row = end;
        }
        check_all_read(rows, row);
    }
}

[[noreturn]] void raise_replaced(const char *name) {
    ereport(ERROR, (errcode(ERRCODE_OBJECT_IN_USE),
                    errmsg("source table %s was replaced while the job started", name),
                    errhint("Start the job again.")));
}

}  // namespace

const SourceColumn *find_column(const SourceColumns &columns, const char *name) {
    for (int i = 0; i < columns.count; i++) {
        if (strcmp(columns.columns[i].name, name) == 0)
            return &columns.columns[i];
    }
    return nullptr;
}

void find_tables(Connection *connection, std::span<const char *const> names, SourceTable *tables) {
    // This query alone runs under the session's own search_path, to find the tables: qualify its
    // operators.
    char *sql = psprintf(
        "SELECT c.oid, c.relkind, %s, pg_catalog.has_table_privilege(c.oid, 'SELECT'),"
        " c.relhassubclass, u.n"
        " FROM pg_catalog.unnest($1::pg_catalog.text[]) WITH ORDINALITY u(name, n)"
        " JOIN pg_catalog.pg_class c"
        " ON c.oid OPERATOR(pg_catalog.=) u.name::pg_catalog.regclass::pg_catalog.oid"
        " JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace ORDER BY "
        "u.n",
        quoted_name_sql);
    for (size_t from = 0; from < names.size(); from += most_per_query) {
        std::span<const char *const> some =
            names.subspan(from).first(Min(names.size() - from, most_per_query));
        const char *array = OidOutputFunctionCall(
            F_ARRAY_OUT, pg::text_array(some.data(), static_cast<int>(some.size())));
        Rows rows = source::query(connection, sql, 1, &array);
        for (size_t i = 0; i < some.size(); i++) {
            int row = static_cast<int>(i);
            if (row >= rows.count || rows.number_at(row, 5, 1, INT_MAX) != row + 1)
                ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE),
                                errmsg("source table \"%s\" does not exist", some[i])));
            SourceTable table{.oid = oid_at(rows, row, 0),
                              .relkind = rows.at(row, 1)[0],
                              .name = to_name(rows.at(row, 2)),
                              .readable = to_bool(rows.at(row, 3)),
                              .has_children = to_bool(rows.at(row, 4)),
                              .alone = false};
            if (table.relkind == '\0' || strchr("rpmvf", table.relkind) == nullptr)
                ereport(ERROR,
                        (errcode(ERRCODE_WRONG_OBJECT_TYPE),
                         errmsg("\"%s\" on the source is not a table", some[i]),
                         errdetail("Tables, partitioned tables, materialized views, views and "
                                   "foreign tables can be copied.")));
            tables[from + i] = table;
        }
    }
}

const char *begin_and_export(Connection *connection, std::span<const SourceTable> tables) {
    source::begin(connection);
    // Locked before the snapshot is taken: a TRUNCATE or rewrite in between would show an empty
    // table. LOCK TABLE needs the privilege on the whole table; read_leaves detects a rewrite in
    // any case.
    StringInfoData lock;
    StringInfoData found;
    initStringInfo(&lock);
    initStringInfo(&found);
    for (const SourceTable &table : tables) {
        if (is_lockable(table))
            appendStringInfo(&lock, "%s%s", lock.len > 0 ? ", " : "LOCK TABLE ", table.name);
        appendStringInfo(&found, "%s(%u::pg_catalog.oid, %s)", found.len > 0 ? ", " : "", table.oid,
                         quote_literal_cstr(table.name));
    }
    if (lock.len > 0)
        (void)source::query(connection, psprintf("%s IN ACCESS SHARE MODE", lock.data));
    Rows rows = source::query(connection, "SELECT pg_catalog.pg_export_snapshot()");
    Rows same = source::query(
        connection,
        psprintf("SELECT pg_catalog.bool_and(f.oid = f.name::pg_catalog.regclass::pg_catalog.oid),"
                 " min(f.name) FILTER (WHERE f.oid <> f.name::pg_catalog.regclass::pg_catalog.oid)"
                 " FROM (VALUES %s) f(oid, name)",
                 found.data));
    if (!to_bool(same.at(0, 0)))
        raise_replaced(same.at(0, 1));
    return rows.at(0, 0);
}

namespace {

SourceColumns to_columns(const Rows &rows, int from, int to) {
    SourceColumns columns;
    columns.count = to - from;
    columns.columns =
        static_cast<SourceColumn *>(palloc(sizeof(SourceColumn) * Max(columns.count, 1)));
    for (int i = from; i < to; i++) {
        Oid type = oid_at(rows, i, 3);
        columns.columns[i - from] = SourceColumn{
            .name = rows.at(i, 0),
            .generated = to_bool(rows.at(i, 1)),
            .not_null = to_bool(rows.at(i, 2)),
            .type = type,
            .type_name = rows.at(i, 4),
            .type_kind = rows.at(i, 5)[0],
            .built_in = type < FirstGenbkiObjectId,
            .is_array = to_bool(rows.at(i, 6)),
            .has_binary = to_bool(rows.at(i, 7)),
            .is_system = to_bool(rows.at(i, 8)),
            .layout = rows.at(i, 9),
        };
    }
    return columns;
}

void keep_only(Leaves *leaves, Oid oid) {
    for (int i = 0; i < leaves->count; i++) {
        if (leaves->leaves[i].oid == oid)
            leaves->leaves[0] = leaves->leaves[i];
    }
    leaves->count = Min(leaves->count, 1);
}

Leaves to_leaves(const Rows &rows, int from, int to) {
    Leaves leaves;
    leaves.count = to - from;
    leaves.leaves = static_cast<Leaf *>(palloc(sizeof(Leaf) * Max(leaves.count, 1)));
    for (int i = from; i < to; i++) {
        // Compare the snapshot's file with the current, locked one: rows that a TRUNCATE or a
        // rewrite has removed since the snapshot would not be found.
        if (to_bool(rows.at(i, 8)))
            raise_replaced(rows.at(i, 3));
        leaves.leaves[i - from] = Leaf{
            .oid = oid_at(rows, i, 0),
            .relkind = rows.at(i, 1)[0],
            .is_heap = to_bool(rows.at(i, 2)),
            .name = to_name(rows.at(i, 3)),
            .schema = rows.at(i, 10),
            .relation = rows.at(i, 11),
            .readable = to_bool(rows.at(i, 7)),
            .by_name = false,
            .by_keys = false,
            .heap_bytes = size_at(rows, i, 4),
            .toast_bytes = size_at(rows, i, 5),
            .block_size = static_cast<int32>(rows.number_at(i, 6, 512, 65536)),
            .filenode = oid_at(rows, i, 9),
            .has_children = to_bool(rows.at(i, 12)),
        };
    }
    return leaves;
}

}  // namespace

void read_columns(Connection *connection, std::span<const SourceTable> tables,
                  SourceColumns *columns) {
    // Before version 12, tables WITH OIDS have a system column more. Version 12 also introduced
    // generated columns.
    constexpr int version_without_oids = 120000;
    int version = source::server_version(connection);
    // Domains are resolved: COPY sends and receives them as their base types.
    char *sql = psprintf(
        "WITH RECURSIVE a AS ("
        " SELECT u.n, attnum, attname, attnotnull, %s AS generated, atttypid AS typid"
        " FROM pg_catalog.unnest($1::pg_catalog.oid[]) WITH ORDINALITY u(oid, n)"
        " JOIN pg_catalog.pg_attribute ON attrelid = u.oid AND (attnum > 0%s) AND NOT attisdropped"
        "), b AS ("
        " SELECT n, attnum, typid FROM a"
        " UNION ALL SELECT b.n, b.attnum, t.typbasetype FROM b"
        " JOIN pg_catalog.pg_type t ON t.oid = b.typid"
        " WHERE t.typtype = 'd')"
        " SELECT a.attname, a.generated, a.attnotnull, t.oid, t.typname, t.typtype,"
        " t.typelem <> 0 AND t.typlen = -1, t.typsend <> 0 AND t.typreceive <> 0"
        " AND (e.oid IS NULL OR e.typsend <> 0 AND e.typreceive <> 0),"
        " a.attnum < 0,"
        " pg_catalog.concat_ws(' ', t.typlen, t.typbyval, t.typalign,"
        " (SELECT p.proname FROM pg_catalog.pg_proc p WHERE p.oid = t.typsend),"
        " (SELECT p.proname FROM pg_catalog.pg_proc p WHERE p.oid = t.typreceive)), a.n"
        " FROM a JOIN b USING (n, attnum) JOIN pg_catalog.pg_type t ON t.oid = b.typid"
        " LEFT JOIN pg_catalog.pg_type e ON e.oid = t.typelem"
        " WHERE t.typtype <> 'd' ORDER BY a.n, a.attnum",
        version >= version_without_oids ? "attgenerated <> ''" : "false",
        version >= version_without_oids ? "" : " OR attnum = -2");
    ask_about(connection, sql, tables, [columns](size_t i, const Rows &rows, int from, int to) {
        columns[i] = to_columns(rows, from, to);
    });
}

void read_leaves(Connection *connection, std::span<const SourceTable> tables, Leaves *leaves) {
    // Access methods for tables came with version 12; before, every table is a heap.
    bool has_table_am = source::server_version(connection) >= 120000;
    char *sql = psprintf(
        "WITH RECURSIVE t(n, oid) AS (SELECT u.n, u.oid"
        " FROM pg_catalog.unnest($1::pg_catalog.oid[]) WITH ORDINALITY u(oid, n) UNION"
        " SELECT t.n, i.inhrelid FROM pg_catalog.pg_inherits i JOIN t ON i.inhparent = t.oid%s)"
        " SELECT c.oid, c.relkind, %s, %s,"
        " CASE WHEN c.relkind IN ('r', 'm') THEN pg_catalog.pg_relation_size(c.oid) ELSE 0 END,"
        " CASE WHEN c.reltoastrelid <> 0 THEN pg_catalog.pg_relation_size(c.reltoastrelid) ELSE 0 "
        "END,"
        " pg_catalog.current_setting('block_size'),"
        " pg_catalog.has_table_privilege(c.oid, 'SELECT')"
        " AND pg_catalog.has_schema_privilege(n.oid, 'USAGE')"
        " AND NOT pg_catalog.row_security_active(c.oid),"
        " coalesce(nullif(c.relfilenode, 0) <> pg_catalog.pg_relation_filenode(c.oid), false),"
        " coalesce(pg_catalog.pg_relation_filenode(c.oid), 0), n.nspname, c.relname,"
        " c.relhassubclass, t.n"
        " FROM t JOIN pg_catalog.pg_class c ON c.oid = t.oid"
        " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace%s"
        " WHERE c.relkind <> 'p'"
        // Only their own sessions can read temporary children.
        " AND c.relpersistence <> 't' ORDER BY t.n, c.oid",
        // DETACH CONCURRENTLY has removed the partition from the parent.
        source::server_version(connection) >= 140000 ? " AND NOT i.inhdetachpending" : "",
        has_table_am ? "coalesce(am.amname = 'heap', false)" : "c.relkind IN ('r', 'm')",
        quoted_name_sql, has_table_am ? " LEFT JOIN pg_catalog.pg_am am ON am.oid = c.relam" : "");
    ask_about(connection, sql, tables, [=](size_t i, const Rows &rows, int from, int to) {
        // Only a partitioned table can have no leaves.
        if (from == to && tables[i].relkind != RELKIND_PARTITIONED_TABLE)
            source::raise_odd_answer("The source returned no row for the table itself.");
        leaves[i] = to_leaves(rows, from, to);
        if (tables[i].alone)
            keep_only(&leaves[i], tables[i].oid);
    });
}

void check_not_replaced(Connection *connection, std::span<const Chunk> chunks) {
    StringInfoData relations;
    initStringInfo(&relations);
    auto *names = static_cast<const char **>(palloc(sizeof(char *) * chunks.size()));
    int count = 0;
    for (const Chunk &chunk : chunks) {
        names[count++] = chunk.relation;
        appendStringInfo(&relations, "%s($%d::pg_catalog.regclass::pg_catalog.oid, %s)",
                         count > 1 ? ", " : "", count, chunk.only ? "true" : "false");
    }
    // pg_class is read by the snapshot, pg_relation_filenode() as it is now.
    // A worker asks, whose search_path may be the role's own.
    char *sql = psprintf(
        "WITH RECURSIVE t(oid, alone) AS (VALUES %s"
        " UNION SELECT i.inhrelid, false FROM pg_catalog.pg_inherits i"
        " JOIN t ON i.inhparent OPERATOR(pg_catalog.=) t.oid AND NOT t.alone)"
        " SELECT pg_catalog.quote_ident(c.relname) FROM t"
        " JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) t.oid"
        " WHERE c.relfilenode OPERATOR(pg_catalog.<>) 0::pg_catalog.oid"
        " AND c.relfilenode OPERATOR(pg_catalog.<>) pg_catalog.pg_relation_filenode(c.oid)"
        " AND c.relpersistence OPERATOR(pg_catalog.<>) 't'::pg_catalog.\"char\" LIMIT 1",
        relations.data);
    Rows rows = source::query(connection, sql, count, names);
    if (rows.count > 0)
        ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                        errmsg("source table %s was truncated or rewritten during the copy",
                               rows.at(0, 0)),
                        errdetail("Rows of the job's snapshot may be gone."),
                        errhint("Start over with truncate => true.")));
}

}  // namespace fastcopy::plan
