#include "compare/ranges.hpp"

#include <initializer_list>

#include "plan/bounds.hpp"
#include "source/encoding.hpp"

namespace fastcopy::compare {

using source::Connection;
using source::Rows;

namespace {

// The common order of a key's values on both sides.
struct Order {
    const char *type;   // of the bounds, qualified; nullptr: there is no common order
    bool as_text;       // by their text form
    bool common_class;  // the columns are of the same kind: use the order unasked
};

bool is_text(Oid type) {
    return type == TEXTOID || type == VARCHAROID || type == BPCHAROID || type == NAMEOID;
}

// The qualified names of types that have the same order on all servers.
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

Order common_order(const plan::SourceColumn &source, const job::TargetColumn &target) {
    if (plan::is_integer(source.type) && plan::is_integer(target.type))
        return Order{"pg_catalog.int8", false, true};
    auto is_number = [](Oid type) { return plan::is_integer(type) || type == NUMERICOID; };
    if (is_number(source.type) && is_number(target.type))
        return Order{"pg_catalog.numeric", false, true};
    const char *type = ordered_type(source.type);
    if (type != nullptr && source.type == target.type)
        return Order{type, false, true};
    return Order{"pg_catalog.text", true, is_text(source.type) && is_text(target.type)};
}

// The first column of the table's primary key; nullptr if it has none.
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

// What is compared with the bounds, and the bounds' form in it.
struct Key {
    const char *name;  // unquoted
    Oid type;          // on the source
    Order order;
    bool as_utf8;                // by the bytes of the text form in UTF-8
    const char *expressions[2];  // by side
    const char *shown;
    const char *encoding;  // of a SQL_ASCII source, if given
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

// Bounds in the order that both sides share: from the statistics of the table with all its
// children, or of the leaves; without statistics, evenly spaced where an index finds the least and
// the greatest key.
plan::Bounds find_bounds(Connection *connection, const plan::SourceTable &table,
                         const plan::Leaves &leaves, const Key &key) {
    plan::KeyOrder order{
        .type = key.order.type, .sort = "d.v", .form = "d.v::pg_catalog.text", .distinct = true};
    if (key.as_utf8) {
        order.type = "pg_catalog.text";
        order.sort = source::utf8_expression("d.v", key.encoding);
        order.form = psprintf("pg_catalog.concat('\\x', pg_catalog.encode(%s, 'hex'))", order.sort);
    } else if (key.order.as_text) {
        order.sort = "d.v COLLATE pg_catalog.\"C\"";
    }
    constexpr uint32 ranges = most_bounds + 1;
    plan::Bounds bounds = plan::pick_bounds(
        plan::read_key_values(connection, key.name, order, table.oid, leaves), ranges);
    if (bounds.count > 0 || leaves.count != 1 || key.order.as_text ||
        !(plan::is_integer(key.type) || plan::is_instant(key.type)))
        return bounds;
    plan::SplitKey index = plan::find_key(connection, leaves.leaves[0], key.name);
    return index.found ? plan::spread_bounds(connection, leaves.leaves[0], index, ranges) : bounds;
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
                     const plan::Leaves &leaves, const job::TargetColumns &target,
                     bool same_encoding) {
    Ranges ranges{};
    ranges.by = By::hash;
    const char *name = request.only_table().key != nullptr ? request.only_table().key
                                                           : primary_key(connection, table);
    if (name == nullptr)
        return ranges;
    const plan::SourceColumn *column = plan::find_column(columns, name);
    const job::TargetColumn *counterpart = job::find_column(target, name);
    if (request.only_table().key != nullptr && column == nullptr)
        raise_no_key("source", request.only_table().source_table, name);
    if (request.only_table().key != nullptr && counterpart == nullptr)
        raise_no_key("target", request.only_table().target_table, name);
    if (column == nullptr || counterpart == nullptr)
        return ranges;
    Order order = common_order(*column, *counterpart);
    if (request.only_table().key == nullptr && !order.common_class)
        return ranges;

    Key key = make_key(name, column->type, order, same_encoding, request.source_encoding);
    plan::Bounds bounds = find_bounds(connection, table, leaves, key);
    if (bounds.count == 0)
        return ranges;
    ranges.nbounds = bounds.count;
    ranges.bounds = bounds.texts;
    ranges.literals = bounds.forms;
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
