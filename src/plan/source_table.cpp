#include "plan/source_table.hpp"

#include "core/sql_name.hpp"
#include "source/search_path.hpp"

namespace fastcopy::plan {

using source::Connection;
using source::Rows;

namespace {

Oid oid_at(const Rows &rows, int row, int column) {
    return static_cast<Oid>(rows.number_at(row, column, InvalidOid, OID_MAX));
}

// The size of a relation's file; one that was dropped meanwhile has none.
int64 size_at(const Rows &rows, int row, int column) {
    constexpr int64 most = INT64CONST(1) << 47;  // 2^32 blocks of the largest size
    return rows.at_or_null(row, column) != nullptr ? rows.number_at(row, column, 0, most) : 0;
}

// What is to stand in statements, and with each chunk in the ledger.
const char *to_name(const char *text, bool (*is_valid)(std::string_view) noexcept = core::is_name) {
    if (!is_valid(text))
        source::raise_odd_answer("a name that is none");
    return text;
}

bool to_bool(const char *text) {
    return text != nullptr && text[0] == 't';
}

// A relation's quoted name, as SQL that computes it on the source.
constexpr const char *quoted_name_sql =
    "pg_catalog.concat(pg_catalog.quote_ident(n.nspname), '.', pg_catalog.quote_ident(c.relname))";

[[noreturn]] void raise_replaced(const char *name) {
    ereport(ERROR, (errcode(ERRCODE_OBJECT_IN_USE),
                    errmsg("source table %s was replaced while the job started", name),
                    errhint("Start the job again.")));
}

}  // namespace

SourceTable find_table(Connection *connection, const char *name) {
    // The one question that is asked under the session's own search_path, for it is to find the table: so it must not
    // leave an operator to it.
    char *sql = psprintf(
        "SELECT c.oid, c.relkind, %s, pg_catalog.has_table_privilege(c.oid, 'SELECT')"
        " FROM pg_catalog.pg_class c"
        " JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace"
        " WHERE c.oid OPERATOR(pg_catalog.=) $1::pg_catalog.regclass::pg_catalog.oid",
        quoted_name_sql);
    Rows rows = source::query(connection, sql, 1, &name);
    if (rows.count != 1)
        ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE),
                        errmsg("source table \"%s\" does not exist", name)));
    SourceTable table{oid_at(rows, 0, 0), rows.at(0, 1)[0], to_name(rows.at(0, 2)),
                      to_bool(rows.at(0, 3))};
    if (table.relkind == '\0' || strchr("rpmvf", table.relkind) == nullptr)
        ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE),
                        errmsg("\"%s\" on the source is not a table", name),
                        errdetail("Tables, partitioned tables, materialized views, views and "
                                  "foreign tables can be copied.")));
    return table;
}

const char *begin_and_export(Connection *connection, const SourceTable &table) {
    source::begin(connection);
    // Locked before the snapshot is taken: a TRUNCATE or rewrite in between would show an empty table.
    // Who may read some columns only may not lock; read_leaves looks for a rewrite in any case.
    bool lockable = table.relkind == RELKIND_RELATION || table.relkind == RELKIND_PARTITIONED_TABLE;
    if (lockable && table.readable)
        (void)source::query(connection, psprintf("LOCK TABLE %s IN ACCESS SHARE MODE", table.name));
    Rows rows = source::query(connection, "SELECT pg_catalog.pg_export_snapshot()");
    const char *oid = psprintf("%u", table.oid);
    const char *name = table.name;
    const char *params[] = {oid, name};
    Rows same =
        source::query(connection, "SELECT $1::pg_catalog.oid = $2::pg_catalog.regclass", 2, params);
    if (!to_bool(same.at(0, 0)))
        raise_replaced(table.name);
    return rows.at(0, 0);
}

SourceColumns read_columns(Connection *connection, const SourceTable &table) {
    // Tables WITH OIDS have a column more, whose number is that of another system column later on; generated columns
    // came with the same version.
    constexpr int version_without_oids = 120000;
    int version = source::server_version(connection);
    // Domains are looked through, however deep: COPY sends and receives them as their base type.
    char *sql = psprintf(
        "WITH RECURSIVE a AS ("
        " SELECT attnum, attname, attnotnull, %s AS generated, atttypid AS typid"
        " FROM pg_catalog.pg_attribute WHERE attrelid = $1 AND (attnum > 0%s) AND NOT attisdropped"
        "), b AS ("
        " SELECT attnum, typid FROM a"
        " UNION ALL SELECT b.attnum, t.typbasetype FROM b JOIN pg_catalog.pg_type t ON t.oid = "
        "b.typid"
        " WHERE t.typtype = 'd')"
        " SELECT a.attname, a.generated, a.attnotnull, t.oid, t.typname, t.typtype,"
        " t.typelem <> 0 AND t.typlen = -1, t.typsend <> 0 AND t.typreceive <> 0"
        " AND (e.oid IS NULL OR e.typsend <> 0 AND e.typreceive <> 0),"
        " a.attnum < 0,"
        " pg_catalog.concat_ws(' ', t.typlen, t.typbyval, t.typalign,"
        " (SELECT p.proname FROM pg_catalog.pg_proc p WHERE p.oid = t.typsend),"
        " (SELECT p.proname FROM pg_catalog.pg_proc p WHERE p.oid = t.typreceive))"
        " FROM a JOIN b USING (attnum) JOIN pg_catalog.pg_type t ON t.oid = b.typid"
        " LEFT JOIN pg_catalog.pg_type e ON e.oid = t.typelem"
        " WHERE t.typtype <> 'd' ORDER BY a.attnum",
        version >= version_without_oids ? "attgenerated <> ''" : "false",
        version >= version_without_oids ? "" : " OR attnum = -2");
    const char *oid = psprintf("%u", table.oid);
    Rows rows = source::query(connection, sql, 1, &oid);

    SourceColumns columns;
    columns.count = rows.count;
    columns.columns =
        static_cast<SourceColumn *>(palloc(sizeof(SourceColumn) * Max(rows.count, 1)));
    for (int i = 0; i < rows.count; i++) {
        Oid type = oid_at(rows, i, 3);
        columns.columns[i] = SourceColumn{
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

SourceLeaves read_leaves(Connection *connection, const SourceTable &table) {
    // Access methods for tables came with version 12; before, every table is a heap.
    bool has_table_am = source::server_version(connection) >= 120000;
    char *sql = psprintf(
        "WITH RECURSIVE t(oid) AS (SELECT $1::pg_catalog.oid"
        " UNION SELECT i.inhrelid FROM pg_catalog.pg_inherits i JOIN t ON i.inhparent = t.oid%s)"
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
        " c.relhassubclass"
        " FROM t JOIN pg_catalog.pg_class c ON c.oid = t.oid"
        " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace%s"
        " WHERE c.relkind <> 'p'"
        // What other sessions keep in temporary children is nobody's but theirs.
        " AND c.relpersistence <> 't' ORDER BY c.oid",
        // A partition in the middle of DETACH CONCURRENTLY is the parent's no more.
        source::server_version(connection) >= 140000 ? " AND NOT i.inhdetachpending" : "",
        has_table_am ? "coalesce(am.amname = 'heap', false)" : "c.relkind IN ('r', 'm')",
        quoted_name_sql, has_table_am ? " LEFT JOIN pg_catalog.pg_am am ON am.oid = c.relam" : "");
    const char *oid = psprintf("%u", table.oid);
    Rows rows = source::query(connection, sql, 1, &oid);

    // Only a partitioned table can have nothing in it.
    if (rows.count == 0 && table.relkind != RELKIND_PARTITIONED_TABLE)
        source::raise_odd_answer("one without a row for the table itself");
    SourceLeaves leaves;
    leaves.count = rows.count;
    leaves.leaves = static_cast<SourceLeaf *>(palloc(sizeof(SourceLeaf) * Max(rows.count, 1)));
    for (int i = 0; i < rows.count; i++) {
        // The snapshot's file against the one that is there now, and locked: rows that a TRUNCATE or a
        // rewrite has taken along since the snapshot would not be found.
        if (to_bool(rows.at(i, 8)))
            raise_replaced(rows.at(i, 3));
        leaves.leaves[i] = SourceLeaf{
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

void check_not_replaced(Connection *connection, const Chunk &chunk) {
    // pg_class is read by the snapshot, pg_relation_filenode() as it is now.
    // A worker asks, whose search_path may be the role's own.
    char *sql = psprintf(
        "WITH RECURSIVE t(oid) AS (SELECT $1::pg_catalog.regclass::pg_catalog.oid"
        " UNION SELECT i.inhrelid FROM pg_catalog.pg_inherits i"
        " JOIN t ON i.inhparent OPERATOR(pg_catalog.=) t.oid%s)"
        " SELECT pg_catalog.quote_ident(c.relname) FROM t"
        " JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) t.oid"
        " WHERE c.relfilenode OPERATOR(pg_catalog.<>) 0::pg_catalog.oid"
        " AND c.relfilenode OPERATOR(pg_catalog.<>) pg_catalog.pg_relation_filenode(c.oid)"
        " AND c.relpersistence OPERATOR(pg_catalog.<>) 't'::pg_catalog.\"char\" LIMIT 1",
        chunk.only ? " AND false" : "");
    Rows rows = source::query(connection, sql, 1, &chunk.relation);
    if (rows.count > 0)
        ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                        errmsg("source table %s was truncated or rewritten during the copy",
                               rows.at(0, 0)),
                        errdetail("Rows of the job's snapshot may be gone."),
                        errhint("Start over with truncate => true.")));
}

// The operator of a btree operator family for one strategy: 1 is <, 4 is >=.
#define OPERATOR_OF_STRATEGY(strategy)                                                           \
    "SELECT 'OPERATOR(' || pg_catalog.quote_ident(n.nspname) || '.' || p.oprname || ')' AS name" \
    " FROM pg_catalog.pg_amop s JOIN pg_catalog.pg_operator p ON p.oid = s.amopopr"              \
    " JOIN pg_catalog.pg_namespace n ON n.oid = p.oprnamespace"                                  \
    " WHERE s.amopfamily = k.opcfamily AND s.amoplefttype = k.opcintype"                         \
    " AND s.amoprighttype = k.opcintype AND s.amopstrategy = " #strategy

SplitKey find_key(Connection *connection, const SourceLeaf &leaf, const char *column) {
    // Of the columns that lead a whole, valid btree index, the named one, or: the primary key's first,
    // then a unique index's, then one without NULLs. Of several indexes on it, the ordinary one.
    // From version 18 on, a NOT NULL constraint may be there that no one has validated.
    const char *not_null =
        source::server_version(connection) < 180000
            ? "a.attnotnull"
            : "EXISTS (SELECT FROM pg_catalog.pg_constraint v WHERE v.conrelid = a.attrelid"
              " AND v.contype = 'n' AND v.conkey[1] = a.attnum AND v.convalidated)";
    const char *sql = psprintf(
        "WITH RECURSIVE k AS ("
        " SELECT a.attname, a.atttypid, a.attcollation, %s AS not_null, i.indcollation[0] AS collation,"
        " o.opcfamily, o.opcintype, o.opcdefault"
        " FROM pg_catalog.pg_index i"
        " JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid"
        " JOIN pg_catalog.pg_am m ON m.oid = x.relam AND m.amname = 'btree'"
        " JOIN pg_catalog.pg_opclass o ON o.oid = i.indclass[0]"
        " JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]"
        " WHERE i.indrelid = $1 AND i.indisvalid AND i.indpred IS NULL"
        " AND CASE WHEN $2::pg_catalog.text IS NOT NULL THEN a.attname = $2"
        " ELSE pg_catalog.has_column_privilege(i.indrelid, a.attnum, 'SELECT') END"
        " ORDER BY i.indisprimary DESC, i.indisunique DESC, a.attnotnull DESC, a.attnum,"
        " o.opcdefault DESC, (i.indcollation[0] = a.attcollation) DESC LIMIT 1"
        "), b AS ("
        " SELECT atttypid AS typid FROM k UNION ALL"
        " SELECT t.typbasetype FROM b JOIN pg_catalog.pg_type t ON t.oid = b.typid"
        " WHERE t.typtype = 'd')"
        " SELECT k.attname, pg_catalog.format_type(t.oid, -1), t.oid,"
        " (SELECT pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.collname)"
        "  FROM pg_catalog.pg_collation c JOIN pg_catalog.pg_namespace n ON n.oid = c.collnamespace"
        "  WHERE c.oid = k.collation),"
        " k.collation <> k.attcollation, k.not_null, l.name, g.name, k.opcdefault"
        " FROM k CROSS JOIN b JOIN pg_catalog.pg_type t ON t.oid = b.typid"
        " CROSS JOIN LATERAL (" OPERATOR_OF_STRATEGY(1) ") l"
        " CROSS JOIN LATERAL (" OPERATOR_OF_STRATEGY(4) ") g"
        " WHERE t.typtype <> 'd'",
        not_null);
    const char *oid = psprintf("%u", leaf.oid);
    const char *params[] = {oid, column};
    Rows rows = source::query(connection, sql, 2, params);
    SplitKey key{};
    if (rows.count == 1) {
        key.found = true;
        key.column = rows.at(0, 0);
        (void)to_name(quote_always(key.column));
        key.type_name = to_name(rows.at(0, 1), core::is_type_name);
        key.type = oid_at(rows, 0, 2);
        key.collation = rows.at_or_null(0, 3);
        if (key.collation != nullptr)
            (void)to_name(key.collation);
        key.collate_index = to_bool(rows.at(0, 4));
        key.not_null = to_bool(rows.at(0, 5));
        key.less = to_name(rows.at(0, 6), core::is_operator_name);
        key.not_less = to_name(rows.at(0, 7), core::is_operator_name);
        key.usual_order = to_bool(rows.at(0, 8));
    }
    return key;
}

Rows read_histogram(Connection *connection, const SourceLeaf &leaf, const SplitKey &key) {
    // Where the values are so few that there is no histogram, the most common ones serve. They are
    // sorted as the index is: bounds out of its order would make ranges overlap.
    char *sql = psprintf(
        "SELECT (u.v::%s)::pg_catalog.text"
        " FROM pg_catalog.pg_stats s JOIN pg_catalog.pg_class c ON c.relname = s.tablename"
        " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace AND n.nspname = s.schemaname"
        " CROSS JOIN LATERAL pg_catalog.unnest(coalesce(s.histogram_bounds, s.most_common_vals)"
        "::pg_catalog.text::pg_catalog.text[]) u(v)"
        " WHERE c.oid = $1 AND s.attname = $2 AND NOT s.inherited AND u.v IS NOT NULL"
        " ORDER BY u.v::%s%s%s USING %s",
        key.type_name, key.type_name, key.collation != nullptr ? " COLLATE " : "",
        key.collation != nullptr ? key.collation : "", key.less);
    const char *oid = psprintf("%u", leaf.oid);
    const char *params[] = {oid, key.column};
    return source::query(connection, sql, 2, params);
}

Rows read_extremes(Connection *connection, const SourceLeaf &leaf, const SplitKey &key) {
    const char *column = quote_always(key.column);
    return source::query_table(connection,
                               psprintf("SELECT pg_catalog.min(%s), pg_catalog.max(%s)"
                                        " FROM %s%s",
                                        column, column, leaf.by_name ? "" : "ONLY ", leaf.name));
}

Rows read_even_instants(Connection *connection, const SourceLeaf &leaf, const SplitKey &key,
                        int pieces) {
    const char *column = quote_always(key.column);
    // Bounds are guesses: years outside of these would only make the arithmetic overflow. They are
    // conditions on the key, so that the index passes over all the infinities at once.
    return source::query_table(
        connection, psprintf("SELECT (lo OPERATOR(pg_catalog.+) ((hi OPERATOR(pg_catalog.-) lo)"
                             " OPERATOR(pg_catalog.*) (i OPERATOR(pg_catalog./) %d.0)))::%s"
                             " FROM (SELECT pg_catalog.min(%s)::pg_catalog.timestamp AS lo,"
                             " pg_catalog.max(%s)::pg_catalog.timestamp AS hi FROM %s%s"
                             " WHERE %s OPERATOR(pg_catalog.>=) '0001-01-01'"
                             " AND %s OPERATOR(pg_catalog.<=) '9999-12-31') e"
                             " CROSS JOIN pg_catalog.generate_series(1, %d) i"
                             " WHERE lo OPERATOR(pg_catalog.<) hi ORDER BY 1",
                             pieces, key.type_name, column, column, leaf.by_name ? "" : "ONLY ",
                             leaf.name, column, column, pieces - 1));
}

}  // namespace fastcopy::plan
