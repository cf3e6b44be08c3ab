#include "compare/ranges.hpp"

#include "core/range_split.hpp"
#include "sink/target.hpp"
#include "source/encoding.hpp"

namespace fastcopy::compare {

using source::Connection;
using source::Rows;

namespace {

// How the values of a key are put in order on both sides.
struct Order {
    const char *type;   // of the bounds, qualified; nullptr: there is no common order
    bool as_text;       // by their text form
    bool common_class;  // the two columns are of the same kind, so that nobody has to ask for it
};

bool is_integer(Oid type) {
    return type == INT2OID || type == INT4OID || type == INT8OID;
}

bool is_text(Oid type) {
    return type == TEXTOID || type == VARCHAROID || type == BPCHAROID || type == NAMEOID;
}

bool is_instant(Oid type) {
    return type == DATEOID || type == TIMESTAMPOID || type == TIMESTAMPTZOID;
}

// Types whose order is in their nature, by their names in pg_catalog.
const char *ordered_type(Oid type) {
    switch (type) {
        case NUMERICOID:
            return "pg_catalog.numeric";
        case FLOAT4OID:
            return "pg_catalog.float4";
        case FLOAT8OID:
            return "pg_catalog.float8";
        case OIDOID:
            return "pg_catalog.oid";
        case DATEOID:
            return "pg_catalog.date";
        case TIMESTAMPOID:
            return "pg_catalog.timestamp";
        case TIMESTAMPTZOID:
            return "pg_catalog.timestamptz";
        case TIMEOID:
            return "pg_catalog.time";
        case INTERVALOID:
            return "pg_catalog.interval";
        case UUIDOID:
            return "pg_catalog.uuid";
        case BYTEAOID:
            return "pg_catalog.bytea";
        default:
            return nullptr;
    }
}

Order common_order(const plan::SourceColumn &source, const sink::TargetColumn &target) {
    if (is_integer(source.type) && is_integer(target.type))
        return Order{"pg_catalog.int8", false, true};
    auto is_number = [](Oid type) { return is_integer(type) || type == NUMERICOID; };
    if (is_number(source.type) && is_number(target.type))
        return Order{"pg_catalog.numeric", false, true};
    const char *type = ordered_type(source.type);
    if (type != nullptr && source.type == target.type)
        return Order{type, false, true};
    return Order{"pg_catalog.text", true, is_text(source.type) && is_text(target.type)};
}

// The first column of the table's primary key; nullptr: it has none.
const char *primary_key(Connection *connection, const plan::SourceTable &table) {
    const char *oid = psprintf("%u", table.oid);
    Rows rows = source::query(
        connection,
        "SELECT a.attname FROM pg_catalog.pg_index i"
        " JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]"
        " WHERE i.indrelid = $1 AND i.indisprimary"
        " AND pg_catalog.has_column_privilege(i.indrelid, a.attnum, 'SELECT')",
        1, &oid);
    return rows.count == 1 ? rows.at(0, 0) : nullptr;
}

const plan::SourceColumn *find(const plan::SourceColumns &columns, const char *name) {
    for (int i = 0; i < columns.count; i++) {
        if (strcmp(columns.columns[i].name, name) == 0)
            return &columns.columns[i];
    }
    return nullptr;
}

// What is compared with the bounds, and the bounds' form in it.
struct Key {
    const char *name;  // unquoted
    Oid type;          // on the source
    Order order;
    bool as_utf8;                // by the bytes of the text form in UTF-8
    const char *expressions[2];  // by side
    const char *shown;
    const char *encoding;  // of a SQL_ASCII source, if the caller has told it
};

Key make_key(const char *name, Oid type, Order order, bool same_encoding, const char *encoding) {
    Key key{name, type, order, order.as_text && !same_encoding, {}, nullptr, encoding};
    const char *column = plan::quote_always(name);
    const char *shown = quote_identifier(name);
    if (key.as_utf8) {
        const char *text = psprintf("%s::pg_catalog.text", column);
        key.expressions[source_side] = source::utf8_expression(text, encoding);
        key.expressions[target_side] = source::utf8_expression(text, nullptr);
        key.shown = psprintf("convert_to(%s::text, 'UTF8')", shown);
        key.order.type = "pg_catalog.bytea";
    } else if (order.as_text) {
        key.expressions[source_side] = key.expressions[target_side] =
            psprintf("(%s::pg_catalog.text COLLATE pg_catalog.\"C\")", column);
        key.shown = psprintf("%s::text COLLATE \"C\"", shown);
    } else {
        key.expressions[source_side] = key.expressions[target_side] =
            psprintf("%s::%s", column, order.type);
        key.shown = shown;
    }
    return key;
}

// Values of the key in the order that both sides share, as text and as they stand in SQL; from the statistics of
// the table with all its children, or of the leaves.
Rows read_statistics(Connection *connection, const plan::SourceTable &table,
                     const plan::SourceLeaves &leaves, const Key &key) {
    // Where there are very many leaves, a part of them tells enough.
    constexpr int most_leaves = 200;
    StringInfoData oids;
    initStringInfo(&oids);
    for (int i = 0; i < Min(leaves.count, most_leaves); i++)
        appendStringInfo(&oids, "%s%u", i > 0 ? "," : "", leaves.leaves[i].oid);
    const char *in_order = "d.v";
    const char *in_sql = "d.v";
    if (key.as_utf8) {
        in_order = source::utf8_expression("d.v", key.encoding);
        in_sql = psprintf("pg_catalog.concat('\\x', pg_catalog.encode(%s, 'hex'))", in_order);
    } else if (key.order.as_text) {
        in_order = "d.v COLLATE pg_catalog.\"C\"";
    }
    char *sql = psprintf(
        "SELECT d.v::pg_catalog.text, %s FROM (SELECT DISTINCT u.v::%s AS v"
        " FROM pg_catalog.pg_stats s JOIN pg_catalog.pg_class c ON c.relname = s.tablename"
        " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace AND n.nspname = s.schemaname"
        " CROSS JOIN LATERAL pg_catalog.unnest(coalesce(s.histogram_bounds, s.most_common_vals)"
        "::pg_catalog.text::pg_catalog.text[]) u(v)"
        " WHERE s.attname = $1 AND u.v IS NOT NULL"
        " AND (s.inherited AND c.oid = $2 OR NOT s.inherited AND c.oid = ANY "
        "($3::pg_catalog.oid[]))"
        ") d ORDER BY %s",
        in_sql, key.as_utf8 ? "pg_catalog.text" : key.order.type, in_order);
    const char *params[] = {key.name, psprintf("%u", table.oid), psprintf("{%s}", oids.data)};
    return source::query(connection, sql, 3, params);
}

// Takes at most as many values as there may be bounds, evenly spaced.
void pick(const Rows &values, Ranges *ranges) {
    uint32 picked[most_bounds];
    size_t count = core::pick_evenly(static_cast<size_t>(values.count), most_bounds,
                                     std::span<std::uint32_t>(picked, most_bounds));
    for (size_t i = 0; i < count; i++) {
        int row = static_cast<int>(picked[i]);
        ranges->bounds[i] = values.at(row, 0);
        ranges->literals[i] = values.at(row, values.columns > 1 ? 1 : 0);
    }
    ranges->nbounds = static_cast<int>(count);
}

// Without statistics, but with an index that knows the least and the greatest key: even steps between.
void step(Connection *connection, const plan::SourceLeaf &leaf, const Key &key, Ranges *ranges) {
    bool integer = is_integer(key.type) && !key.order.as_text;
    bool instant = is_instant(key.type) && !key.order.as_text;
    if (!integer && !instant)
        return;
    plan::SplitKey index = plan::find_key(connection, leaf, key.name);
    if (!index.found || !index.usual_order)
        return;
    if (instant)
        return pick(plan::read_even_instants(connection, leaf, index, most_bounds + 1), ranges);
    Rows extremes = plan::read_extremes(connection, leaf, index);
    if (extremes.at_or_null(0, 0) == nullptr)
        return;
    std::int64_t values[most_bounds];
    int64 least = extremes.number_at(0, 0, PG_INT64_MIN, PG_INT64_MAX);
    int64 greatest = extremes.number_at(0, 1, PG_INT64_MIN, PG_INT64_MAX);
    size_t count = core::integer_bounds(least, greatest, most_bounds + 1,
                                        std::span<std::int64_t>(values, most_bounds));
    for (size_t i = 0; i < count; i++)
        ranges->bounds[i] = ranges->literals[i] =
            psprintf(INT64_FORMAT, static_cast<int64>(values[i]));
    ranges->nbounds = static_cast<int>(count);
}

char *range_expression(const Key &key, const char *expression, const Ranges &ranges) {
    StringInfoData sql;
    initStringInfo(&sql);
    appendStringInfo(&sql, "pg_catalog.width_bucket(%s, ARRAY[", expression);
    for (int i = 0; i < ranges.nbounds; i++)
        appendStringInfo(&sql, "%s%s", i > 0 ? ", " : "", quote_literal_cstr(ranges.literals[i]));
    appendStringInfo(&sql, "]::%s[])", key.order.type);
    return sql.data;
}

[[noreturn]] void raise_no_key(const char *side, const char *table, const char *key) {
    ereport(ERROR,
            (errcode(ERRCODE_UNDEFINED_COLUMN),
             errmsg("key column \"%s\" of %s table \"%s\" does not exist", key, side, table)));
}

}  // namespace

Ranges choose_ranges(Connection *connection, const job::Request &request,
                     const plan::SourceTable &table, const plan::SourceColumns &columns,
                     const plan::SourceLeaves &leaves, Relation target, bool same_encoding) {
    Ranges ranges{};
    ranges.by = By::hash;
    const char *name = request.key != nullptr ? request.key : primary_key(connection, table);
    if (name == nullptr)
        return ranges;
    const plan::SourceColumn *column = find(columns, name);
    sink::TargetColumn counterpart = sink::find_column(target, name);
    if (request.key != nullptr && column == nullptr)
        raise_no_key("source", request.source_table, name);
    if (request.key != nullptr && !counterpart.found)
        raise_no_key("target", request.target_table, name);
    if (column == nullptr || !counterpart.found)
        return ranges;
    Order order = common_order(*column, counterpart);
    if (request.key == nullptr && !order.common_class)
        return ranges;

    Key key = make_key(name, column->type, order, same_encoding, request.source_encoding);
    ranges.bounds = static_cast<const char **>(palloc(sizeof(char *) * most_bounds));
    ranges.literals = static_cast<const char **>(palloc(sizeof(char *) * most_bounds));
    pick(read_statistics(connection, table, leaves, key), &ranges);
    if (ranges.nbounds == 0 && leaves.count == 1)
        step(connection, leaves.leaves[0], key, &ranges);
    if (ranges.nbounds == 0)
        return ranges;
    ranges.by = By::key;
    ranges.column = quote_identifier(name);
    ranges.shown = key.shown;
    for (int side : {source_side, target_side})
        ranges.expressions[side] = range_expression(key, key.expressions[side], ranges);
    return ranges;
}

int count(const Ranges &ranges) {
    return ranges.by == By::hash ? hash_ranges : ranges.nbounds + 2;
}

const char *lower_bound(const Ranges &ranges, int range) {
    bool has = ranges.by == By::key && range > 0 && range <= ranges.nbounds;
    return has ? ranges.bounds[range - 1] : nullptr;
}

const char *upper_bound(const Ranges &ranges, int range) {
    bool has = ranges.by == By::key && range < ranges.nbounds;
    return has ? ranges.bounds[range] : nullptr;
}

char *describe(const Ranges &ranges, int range) {
    if (ranges.by == By::hash)
        return psprintf("hash %d of %d", range, hash_ranges);
    if (range > ranges.nbounds)
        return psprintf("%s IS NULL", ranges.column);
    StringInfoData text;
    initStringInfo(&text);
    if (range > 0)
        appendStringInfo(&text, "%s >= %s", ranges.shown,
                         quote_literal_cstr(ranges.literals[range - 1]));
    if (range > 0 && range < ranges.nbounds)
        appendStringInfoString(&text, " AND ");
    if (range < ranges.nbounds)
        appendStringInfo(&text, "%s < %s", ranges.shown,
                         quote_literal_cstr(ranges.literals[range]));
    return text.data;
}

}  // namespace fastcopy::compare
