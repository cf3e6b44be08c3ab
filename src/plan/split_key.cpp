#include "plan/split_key.hpp"

#include "plan/answers.hpp"
#include "plan/chunk.hpp"

namespace fastcopy::plan {

using source::Connection;
using source::Rows;

// The operator of a btree operator family for one strategy: 1 is <, 3 is =, 4 is >=.
#define OPERATOR_OF_STRATEGY(strategy)                                                           \
    "SELECT 'OPERATOR(' || pg_catalog.quote_ident(n.nspname) || '.' || p.oprname || ')' AS name" \
    " FROM pg_catalog.pg_amop s JOIN pg_catalog.pg_operator p ON p.oid = s.amopopr"              \
    " JOIN pg_catalog.pg_namespace n ON n.oid = p.oprnamespace"                                  \
    " WHERE s.amopfamily = k.opcfamily AND s.amoplefttype = k.opcintype"                         \
    " AND s.amoprighttype = k.opcintype AND s.amopstrategy = " #strategy

SplitKey find_key(Connection *connection, const Leaf &leaf, const char *column) {
    // Of the columns that lead a valid btree index on all rows: the named one; or the primary key's
    // first, then a unique index's, then one without NULLs. Of several indexes on it, the one with
    // default order. From version 18 on, a NOT NULL constraint may be not validated.
    const char *not_null =
        source::server_version(connection) < 180000
            ? "a.attnotnull"
            : "EXISTS (SELECT FROM pg_catalog.pg_constraint v WHERE v.conrelid = a.attrelid"
              " AND v.contype = 'n' AND v.conkey[1] = a.attnum AND v.convalidated)";
    const char *sql = psprintf(
        "WITH RECURSIVE k AS ("
        " SELECT a.attname, a.atttypid, a.attcollation, %s AS not_null,"
        " i.indcollation[0] AS collation,"
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
        " k.collation <> k.attcollation, k.not_null, l.name, g.name, k.opcdefault, e.name"
        " FROM k CROSS JOIN b JOIN pg_catalog.pg_type t ON t.oid = b.typid"
        " CROSS JOIN LATERAL (" OPERATOR_OF_STRATEGY(1) ") l"
        " CROSS JOIN LATERAL (" OPERATOR_OF_STRATEGY(4) ") g"
        " CROSS JOIN LATERAL (" OPERATOR_OF_STRATEGY(3) ") e"
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
        key.equal = to_name(rows.at(0, 9), core::is_operator_name);
    }
    return key;
}

}  // namespace fastcopy::plan
