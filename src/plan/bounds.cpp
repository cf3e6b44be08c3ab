#include "plan/bounds.hpp"

#include "core/range_split.hpp"
#include "plan/chunk.hpp"
#include "source/search_path.hpp"

namespace fastcopy::plan {

using source::Connection;
using source::Rows;

namespace {

// The least and the greatest key in one row, by the index. Integers as they are.
Rows read_extremes(Connection *connection, const Leaf &leaf, const SplitKey &key) {
    const char *column = quote_always(key.column);
    return source::query_table(connection,
                               psprintf("SELECT pg_catalog.min(%s), pg_catalog.max(%s)"
                                        " FROM %s%s",
                                        column, column, leaf.by_name ? "" : "ONLY ", leaf.name));
}

// Instants evenly spaced between the least and the greatest key.
Rows read_even_instants(Connection *connection, const Leaf &leaf, const SplitKey &key, int ranges) {
    const char *column = quote_always(key.column);
    // Exclude years that would make the arithmetic overflow, by conditions on the key, so that the
    // index skips infinities.
    return source::query_table(
        connection, psprintf("SELECT (lo OPERATOR(pg_catalog.+) ((hi OPERATOR(pg_catalog.-) lo)"
                             " OPERATOR(pg_catalog.*) (i OPERATOR(pg_catalog./) %d.0)))::%s"
                             " FROM (SELECT pg_catalog.min(%s)::pg_catalog.timestamp AS lo,"
                             " pg_catalog.max(%s)::pg_catalog.timestamp AS hi FROM %s%s"
                             " WHERE %s OPERATOR(pg_catalog.>=) '0001-01-01'"
                             " AND %s OPERATOR(pg_catalog.<=) '9999-12-31') e"
                             " CROSS JOIN pg_catalog.generate_series(1, %d) i"
                             " WHERE lo OPERATOR(pg_catalog.<) hi ORDER BY 1",
                             ranges, key.type_name, column, column, leaf.by_name ? "" : "ONLY ",
                             leaf.name, column, column, ranges - 1));
}

Bounds to_bounds(std::span<const std::int64_t> values) {
    Bounds bounds{};
    bounds.count = static_cast<int>(values.size());
    bounds.texts = static_cast<const char **>(palloc(sizeof(char *) * Max(bounds.count, 1)));
    for (int i = 0; i < bounds.count; i++)
        bounds.texts[i] = psprintf(INT64_FORMAT, static_cast<int64>(values[i]));
    bounds.forms = bounds.texts;
    return bounds;
}

std::span<std::int64_t> allocate(size_t count) {
    return {static_cast<std::int64_t *>(palloc(sizeof(std::int64_t) * Max(count, 1))), count};
}

// Refines the statistics of integers by arithmetic between their values.
Bounds refine(const Rows &values, uint32 ranges) {
    std::span<std::int64_t> known = allocate(static_cast<size_t>(values.count));
    for (int i = 0; i < values.count; i++)
        known[i] = values.number_at(i, 0, PG_INT64_MIN, PG_INT64_MAX);
    std::span<std::int64_t> refined = allocate(ranges);
    return to_bounds(refined.first(core::refine_bounds(known, ranges, refined)));
}

}  // namespace

Rows read_key_values(Connection *connection, const char *column, const KeyOrder &order, Oid table,
                     const Leaves &leaves) {
    // A sample of very many leaves is enough.
    constexpr int most_leaves = 200;
    StringInfoData oids;
    initStringInfo(&oids);
    for (int i = 0; i < Min(leaves.count, most_leaves); i++)
        appendStringInfo(&oids, "%s%u", i > 0 ? "," : "", leaves.leaves[i].oid);
    // Before version 15, a "char" above 127 is shown as a byte that is no text.
    constexpr int version_with_octal_char = 150000;
    bool only_ascii = strcmp(order.type, "\"char\"") == 0 &&
                      source::server_version(connection) < version_with_octal_char;
    // Where the values are so few that there is no histogram, the most common ones serve. They are
    // sorted as the rows will be: bounds in another order would make ranges overlap.
    char *sql = psprintf(
        "SELECT d.v::pg_catalog.text, %s FROM (SELECT %su.v::%s AS v"
        " FROM pg_catalog.pg_stats s JOIN pg_catalog.pg_class c ON c.relname = s.tablename"
        " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace AND n.nspname = s.schemaname"
        " CROSS JOIN LATERAL pg_catalog.unnest(coalesce(s.histogram_bounds, s.most_common_vals)"
        "::pg_catalog.text::pg_catalog.text[]) u(v)"
        " WHERE s.attname = $1 AND u.v IS NOT NULL AND (s.inherited AND c.oid = $2"
        " OR NOT s.inherited AND c.oid = ANY ($3::pg_catalog.oid[]))%s) d ORDER BY %s",
        order.form != nullptr ? order.form : "d.v::pg_catalog.text",
        order.distinct ? "DISTINCT " : "", order.type,
        only_ascii ? " AND u.v::pg_catalog.\"char\"::pg_catalog.int4 >= 0" : "", order.sort);
    const char *params[] = {column, psprintf("%u", table), psprintf("{%s}", oids.data)};
    return source::query(connection, sql, 3, params);
}

Bounds pick_bounds(const Rows &values, uint32 ranges) {
    Bounds bounds{};
    auto *picked = static_cast<uint32 *>(palloc(sizeof(uint32) * ranges));
    bounds.count = static_cast<int>(core::pick_evenly(static_cast<size_t>(values.count), ranges - 1,
                                                      std::span<std::uint32_t>(picked, ranges)));
    bounds.texts = static_cast<const char **>(palloc(sizeof(char *) * ranges));
    bounds.forms = static_cast<const char **>(palloc(sizeof(char *) * ranges));
    for (int i = 0; i < bounds.count; i++) {
        auto row = static_cast<int>(picked[i]);
        bounds.texts[i] = values.at(row, 0);
        bounds.forms[i] = values.at(row, values.columns > 1 ? 1 : 0);
    }
    return bounds;
}

Bounds spread_bounds(Connection *connection, const Leaf &leaf, const SplitKey &key, uint32 ranges) {
    if (key.usual_order && is_instant(key.type))
        return pick_bounds(read_even_instants(connection, leaf, key, static_cast<int>(ranges)),
                           ranges);
    if (!key.usual_order || !is_integer(key.type))
        return Bounds{};
    Rows extremes = read_extremes(connection, leaf, key);
    if (extremes.at_or_null(0, 0) == nullptr)
        return Bounds{};
    int64 least = extremes.number_at(0, 0, PG_INT64_MIN, PG_INT64_MAX);
    int64 greatest = extremes.number_at(0, 1, PG_INT64_MIN, PG_INT64_MAX);
    std::span<std::int64_t> values = allocate(ranges);
    return to_bounds(values.first(core::integer_bounds(least, greatest, ranges, values)));
}

Bounds find_bounds(Connection *connection, const Leaf &leaf, const SplitKey &key, uint32 ranges) {
    const char *collate = key.collation != nullptr ? psprintf(" COLLATE %s", key.collation) : "";
    KeyOrder order{.type = key.type_name,
                   .sort = psprintf("d.v%s USING %s", collate, key.less),
                   .form = nullptr,
                   .distinct = false};
    Leaf copy = leaf;
    Rows values = read_key_values(connection, key.column, order, InvalidOid,
                                  Leaves{.count = 1, .leaves = &copy});
    bool integer = is_integer(key.type) && key.usual_order;
    if (integer && values.count >= 2)
        return refine(values, ranges);
    if (integer || values.count == 0)
        return spread_bounds(connection, leaf, key, ranges);
    return pick_bounds(values, ranges);
}

}  // namespace fastcopy::plan
