#include "plan/engine_sizes.hpp"

namespace fastcopy::plan {

using source::Connection;
using source::Rows;

namespace {

constexpr int64 most_bytes = INT64CONST(1) << 60;

// Whether catalogs of the engine exist: a query on missing ones would abort the transaction.
bool is_there(Connection *connection, const char *condition) {
    return source::query(connection, psprintf("SELECT %s", condition)).at(0, 0)[0] == 't';
}

}  // namespace

int64 distributed_size(Connection *connection, const Leaves &leaves) {
    if (!is_there(connection, "pg_catalog.to_regclass('pg_catalog.citus_shards') IS NOT NULL"))
        return 0;
    StringInfoData oids;
    initStringInfo(&oids);
    for (int i = 0; i < leaves.count; i++)
        appendStringInfo(&oids, "%s%u", i > 0 ? "," : "", leaves.leaves[i].oid);
    const char *param = psprintf("{%s}", oids.data);
    // Each node has all rows of a reference table. citus_table_size would connect to the nodes
    // within the transaction, which could then no longer read the coordinator's own shards.
    Rows rows =
        source::query(connection,
                      "SELECT coalesce(pg_catalog.sum(size), 0)::pg_catalog.int8 FROM"
                      " (SELECT pg_catalog.max(shard_size) AS size FROM pg_catalog.citus_shards"
                      " WHERE table_name = ANY ($1::pg_catalog.oid[]) GROUP BY shardid) s",
                      1, &param);
    return rows.number_at(0, 0, 0, most_bytes);
}

void add_compressed_sizes(Connection *connection, const SourceTable &table, Leaves *leaves) {
    // The engine's own function, wherever its schema is: its catalogs change with its versions.
    Rows function = source::query(
        connection,
        "SELECT pg_catalog.format('%I.%I', n.nspname, p.proname)"
        " FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_depend d"
        " ON d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass AND d.refobjid = e.oid"
        " AND d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.deptype = 'e'"
        " JOIN pg_catalog.pg_proc p ON p.oid = d.objid"
        " JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace"
        " WHERE e.extname = 'timescaledb' AND p.proname = 'chunk_compression_stats'"
        " AND p.proargtypes[0] = 'pg_catalog.regclass'::pg_catalog.regtype AND p.pronargs = 1"
        " AND pg_catalog.has_schema_privilege(n.oid, 'USAGE')"
        " AND pg_catalog.has_function_privilege(p.oid, 'EXECUTE')");
    if (function.count != 1)
        return;
    Rows rows = source::query(
        connection, psprintf("SELECT chunk_schema, chunk_name, before_compression_table_bytes,"
                             " coalesce(before_compression_toast_bytes, 0)"
                             " FROM %s('%u'::pg_catalog.oid::pg_catalog.regclass)"
                             " WHERE before_compression_table_bytes IS NOT NULL",
                             function.at(0, 0), table.oid));
    for (int i = 0; i < leaves->count; i++) {
        Leaf *leaf = &leaves->leaves[i];
        for (int row = 0; leaf->by_name && row < rows.count; row++) {
            if (strcmp(rows.at(row, 0), leaf->schema) != 0 ||
                strcmp(rows.at(row, 1), leaf->relation) != 0)
                continue;
            leaf->heap_bytes += rows.number_at(row, 2, 0, most_bytes);
            leaf->toast_bytes += rows.number_at(row, 3, 0, most_bytes);
        }
    }
}

}  // namespace fastcopy::plan
