#include "plan/newer_rows.hpp"

#include "pg/arrays.hpp"
#include "plan/answers.hpp"

namespace fastcopy::plan {

using source::Connection;
using source::Rows;

namespace {

// Rows per chunk: enough to keep a worker busy, and few enough to share a large tail.
constexpr int64 rows_per_chunk = 100000;
constexpr int keys_per_chunk = 1000;
constexpr int keys_per_fetch = 10000;

const char *quoted(const SplitKey &key) {
    return quote_always(key.column);
}

const char *collated(const SplitKey &key) {
    return key.collate_index ? psprintf("%s COLLATE %s", quoted(key), key.collation) : quoted(key);
}

const char *literal(const SplitKey &key, const char *value) {
    return psprintf("%s::%s", quote_literal_cstr(value), key.type_name);
}

// A key as text. The type's output is what a literal reads; the cast of char(n) to text is not.
const char *as_text(const SplitKey &key) {
    return psprintf("pg_catalog.format('%%s', %s)", quoted(key));
}

// The keys as the literal of an array.
char *array_of(const char **keys, int count) {
    return OidOutputFunctionCall(F_ARRAY_OUT, pg::text_array(keys, count));
}

}  // namespace

Counters read_counters(Connection *connection, const SourceTable &table) {
    const char *oid = psprintf("%u", table.oid);
    (void)source::query(connection, "SELECT pg_catalog.pg_stat_clear_snapshot()");
    Rows rows = source::query(
        connection,
        "WITH RECURSIVE t(oid) AS (SELECT $1::pg_catalog.oid UNION SELECT i.inhrelid"
        " FROM pg_catalog.pg_inherits i JOIN t ON i.inhparent OPERATOR(pg_catalog.=) t.oid)"
        " SELECT NOT pg_catalog.pg_is_in_recovery()"
        " AND pg_catalog.current_setting('track_counts')::pg_catalog.bool,"
        " pg_catalog.concat(pg_catalog.date_part('epoch', pg_catalog.pg_postmaster_start_time()), "
        "' ',"
        // Set by crash recovery too, which discards all counters.
        " pg_catalog.date_part('epoch', pg_catalog.pg_stat_get_bgwriter_stat_reset_time()),"
        " ' ', (SELECT pg_catalog.date_part('epoch',"
        " pg_catalog.pg_stat_get_db_stat_reset_time(d.oid)) FROM pg_catalog.pg_database d"
        " WHERE d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database())),"
        " pg_catalog.md5(pg_catalog.string_agg(t.oid::pg_catalog.text, ' ' ORDER BY t.oid)),"
        " coalesce(pg_catalog.sum(pg_catalog.pg_stat_get_tuples_inserted(t.oid)), 0)"
        "::pg_catalog.int8,"
        " coalesce(pg_catalog.sum(pg_catalog.pg_stat_get_tuples_updated(t.oid)), 0)"
        "::pg_catalog.int8,"
        " coalesce(pg_catalog.sum(pg_catalog.pg_stat_get_tuples_deleted(t.oid)), 0)"
        "::pg_catalog.int8 FROM t",
        1, &oid);
    // Before version 15 statistics are sent to another process, which may miss some, and sessions
    // that are idle may keep theirs for good.
    constexpr int version_with_shared_statistics = 150000;
    bool reliable = source::server_version(connection) >= version_with_shared_statistics;
    return Counters{.usable = to_bool(rows.at(0, 0)),
                    .complete = reliable,
                    .epoch = rows.at(0, 1),
                    .members = rows.at(0, 2),
                    .inserted = rows.number_at(0, 3, 0, PG_INT64_MAX),
                    .updated = rows.number_at(0, 4, 0, PG_INT64_MAX),
                    .deleted = rows.number_at(0, 5, 0, PG_INT64_MAX)};
}

SplitKey find_unique_key(Connection *connection, const SourceTable &table, const char *column) {
    Leaf leaf{};
    leaf.oid = table.oid;
    leaf.name = table.name;
    SplitKey key = find_key(connection, leaf, column);
    const char *oid = psprintf("%u", table.oid);
    const char *params[] = {oid, column};
    Rows rows = source::query(
        connection,
        psprintf("SELECT EXISTS (SELECT FROM pg_catalog.pg_index i"
                 " JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid"
                 " AND a.attnum = i.indkey[0] WHERE i.indrelid = $1 AND a.attname = $2"
                 " AND i.indisunique AND i.indimmediate AND i.indisvalid AND i.indpred IS NULL"
                 " AND i.%s = 1)",
                 source::server_version(connection) >= 110000 ? "indnkeyatts" : "indnatts"),
        2, params);
    bool unique = to_bool(rows.at(0, 0));
    if (!key.found || !key.not_null || !key.usual_order || !unique)
        ereport(ERROR,
                (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                 errmsg("cannot synchronize %s by column \"%s\"", table.name, column),
                 !key.found || !unique
                     ? errdetail("No unique btree index on the source consists of this column "
                                 "alone, so that a row is not known by its key.")
                 : !key.not_null ? errdetail("The column is not NOT NULL.")
                                 : errdetail("The index does not have the type's default order."),
                 errhint("Name a column with a primary key or a unique index of its own, and "
                         "declared NOT NULL.")));
    return key;
}

const char *greatest_key(Connection *connection, const SourceTable &table, const SplitKey &key) {
    Rows rows = source::query(connection, psprintf("SELECT %s FROM %s ORDER BY %s DESC LIMIT 1",
                                                   as_text(key), table.name, collated(key)));
    return rows.count > 0 ? rows.at(0, 0) : nullptr;
}

bool is_below(Connection *connection, const SplitKey &key, const char *a, const char *b) {
    return to_bool(source::query(connection, psprintf("SELECT %s%s%s %s %s", literal(key, a),
                                                      key.collation != nullptr ? " COLLATE " : "",
                                                      key.collation != nullptr ? key.collation : "",
                                                      key.less, literal(key, b)))
                       .at(0, 0));
}

char *between(const SplitKey &key, const char *above, const char *up_to) {
    if (up_to == nullptr)
        return pstrdup("false");
    char *not_above = psprintf("%s %s %s", literal(key, up_to), key.not_less, collated(key));
    if (above == nullptr)
        return not_above;
    return psprintf("%s %s %s AND %s", literal(key, above), key.less, collated(key), not_above);
}

char *tail_condition(const SplitKey &key, const char *above, const char *up_to, const char **late,
                     int nlate) {
    char *tail = above != nullptr ? between(key, above, up_to) : pstrdup("false");
    if (nlate == 0)
        return tail;
    return psprintf("(%s OR %s)", tail,
                    keys_condition(collated(key), key.equal, array_of(late, nlate), key.type_name));
}

Tail read_tail(Connection *connection, const SourceTable &table, const SplitKey &key,
               const char *above, const char *up_to) {
    Tail tail{};
    (void)source::query(connection, "SET enable_seqscan = off");
    Rows rows = source::query(
        connection,
        psprintf("SELECT n, %s FROM (SELECT %s, pg_catalog.row_number() OVER (ORDER BY %s) AS n,"
                 " pg_catalog.lead(1) OVER (ORDER BY %s) IS NULL AS last FROM %s WHERE %s) s"
                 " WHERE n = 1 OR last OR n OPERATOR(pg_catalog.%%) " INT64_FORMAT
                 " = 0 ORDER BY n",
                 as_text(key), quoted(key), collated(key), collated(key), table.name,
                 between(key, above, up_to), rows_per_chunk));
    (void)source::query(connection, "RESET enable_seqscan");
    if (rows.count == 0)
        return tail;
    tail.rows = rows.number_at(rows.count - 1, 0, 0, PG_INT64_MAX);
    tail.first = rows.at(0, 1);
    tail.bounds = static_cast<const char **>(palloc(sizeof(char *) * rows.count));
    for (int i = 1; i < rows.count - 1; i++)
        tail.bounds[tail.bound_count++] = rows.at(i, 1);
    return tail;
}

void open_keys(Connection *connection, const SourceTable &table, const SplitKey &key,
               const char *up_to, const char *filter, const char *snapshot,
               const char *last_snapshot) {
    StringInfoData sql;
    initStringInfo(&sql);
    appendStringInfo(
        &sql, "DECLARE fastcopy_keys NO SCROLL CURSOR FOR SELECT %s, %s FROM %s WHERE (%s)",
        as_text(key),
        last_snapshot != nullptr ? newer_condition(last_snapshot, Since::xmax) : "false",
        table.name, between(key, nullptr, up_to));
    if (snapshot != nullptr)
        appendStringInfo(&sql, " AND %s", newer_condition(snapshot, Since::xmin));
    if (filter != nullptr)
        appendStringInfo(&sql, " AND (%s\n)", filter);
    (void)source::query(connection, sql.data);
}

KeyBatch fetch_keys(Connection *connection) {
    Rows rows = source::query(connection, psprintf("FETCH %d FROM fastcopy_keys", keys_per_fetch));
    KeyBatch batch{};
    batch.count = rows.count;
    batch.keys = static_cast<const char **>(palloc(sizeof(char *) * Max(rows.count, 1)));
    batch.rewritten = static_cast<bool *>(palloc(sizeof(bool) * Max(rows.count, 1)));
    for (int i = 0; i < rows.count; i++) {
        batch.keys[i] = rows.at(i, 0);
        batch.rewritten[i] = to_bool(rows.at(i, 1));
    }
    return batch;
}

void close_keys(Connection *connection) {
    (void)source::query(connection, "CLOSE fastcopy_keys");
}

Plan cut_tail(const SourceTable &table, const SplitKey &key, const Tail &tail, const char **late,
              int nlate) {
    Plan plan{};
    int ranges = tail.rows > 0 ? tail.bound_count + 1 : 0;
    int lists = (nlate + keys_per_chunk - 1) / keys_per_chunk;
    plan.chunks = static_cast<Chunk *>(palloc0(sizeof(Chunk) * Max(ranges + lists, 1)));
    for (int i = 0; i < ranges + lists; i++) {
        Chunk *chunk = &plan.chunks[i];
        chunk->number = ++plan.count;
        chunk->relation = table.name;
        chunk->end_block = -1;
        chunk->key = collated(key);
        chunk->key_type = key.type_name;
        if (i < ranges) {
            chunk->kind = Kind::range;
            chunk->less = key.less;
            chunk->not_less = key.not_less;
            chunk->lower = i > 0 ? tail.bounds[i - 1] : tail.first;
            chunk->upper = i + 1 < ranges ? tail.bounds[i] : nullptr;
            continue;
        }
        int first = (i - ranges) * keys_per_chunk;
        chunk->kind = Kind::keys;
        chunk->less = key.equal;
        chunk->lower = array_of(late + first, Min(keys_per_chunk, nlate - first));
    }
    return plan;
}

}  // namespace fastcopy::plan
