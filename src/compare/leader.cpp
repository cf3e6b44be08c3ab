#include "compare/leader.hpp"

#include "compare/session.hpp"
#include "compare/target_pieces.hpp"
#include "plan/composites.hpp"
#include "plan/front_door.hpp"
#include "plan/name_types.hpp"
#include "plan/planner.hpp"
#include "plan/probe.hpp"
#include "plan/row_shape.hpp"
#include "sink/target.hpp"
#include "source/encoding.hpp"
#include "source/session.hpp"

namespace fastcopy::compare {

namespace {

constexpr int version_with_extended_hash = 110000;
constexpr int version_with_shortest_floats = 120000;

// Whether both sides hash the same text to the same number: if they store it in the same encoding,
// have processors of the same byte order, and the function.
bool hashes_agree(source::Connection *connection, bool same_encoding) {
    if (!same_encoding || source::server_version(connection) < version_with_extended_hash)
        return false;
    const char *probe = "pg_fastcopy compares";
    int64 here = DatumGetInt64(DirectFunctionCall2Coll(hashtextextended, C_COLLATION_OID,
                                                       PointerGetDatum(cstring_to_text(probe)),
                                                       Int64GetDatum(0)));
    source::Rows there = source::query(
        connection, psprintf("SELECT pg_catalog.hashtextextended(%s::pg_catalog.text, 0)",
                             quote_literal_cstr(probe)));
    return strcmp(there.at(0, 0), psprintf(INT64_FORMAT, here)) == 0;
}

// The query on a piece: each row's range and hash, in a subquery with an OFFSET, which keeps the
// planner from computing them twice, and from estimating as many ranges as there are keys. It may
// run under the role's own search_path, so operators are schema-qualified too. `encoding`: of a
// SQL_ASCII source.
void write_query(const plan::RowShape &shape, const char *range, bool hash, const char *encoding,
                 Side *side) {
    StringInfoData row;
    initStringInfo(&row);
    appendStringInfoString(&row, "ROW(");
    for (int i = 0; i < shape.ncolumns; i++)
        appendStringInfo(&row, "%s%s", i > 0 ? ", " : "", plan::quote_always(shape.columns[i]));
    appendStringInfoString(&row, ")::pg_catalog.text");

    const char *range_before = range != nullptr ? range : "0";
    const char *range_after =
        range != nullptr
            ? "r"
            : psprintf("h OPERATOR(pg_catalog.&) %d::pg_catalog.int8", hash_ranges - 1);
    if (hash) {
        side->head = psprintf(
            "SELECT %s, pg_catalog.count(*), pg_catalog.sum(h)"
            " FROM (SELECT %s AS r, pg_catalog.hashtextextended(%s, 0) AS h FROM ",
            range_after, range_before, row.data);
        side->tail = " OFFSET 0) q GROUP BY 1";
        return;
    }
    side->head = psprintf(
        "SELECT %s, pg_catalog.count(*), pg_catalog.sum(h), pg_catalog.sum(g) FROM (SELECT r,"
        " ('x' OPERATOR(pg_catalog.||) pg_catalog.substr(m, 1, 16))"
        "::pg_catalog.bit(64)::pg_catalog.int8 AS h,"
        " ('x' OPERATOR(pg_catalog.||) pg_catalog.substr(m, 17, 16))"
        "::pg_catalog.bit(64)::pg_catalog.int8 AS g"
        " FROM (SELECT %s AS r, pg_catalog.md5(%s) AS m FROM ",
        range_after, range_before, source::utf8_expression(row.data, encoding));
    side->tail = " OFFSET 0) p OFFSET 0) q GROUP BY 1";
}

void cut_source(source::Connection *connection, const job::Request &request,
                const plan::SourceTable &table, const plan::SourceColumns &columns,
                plan::Leaves *leaves, const plan::RowShape &shape, Side *side) {
    // Pieces are cut by where rows lie; the key is for the ranges.
    plan::CutOptions options{.source_table = request.only_table().source_table,
                             .key = nullptr,
                             .workers = request.workers,
                             .chunk_size_kb = request.chunk_size_kb,
                             .ring_per_chunk = false};
    plan::Plan chunks = plan::cut(connection, options, table, columns, leaves);
    plan::Chunk all{};
    all.relation = table.name;
    all.kind = plan::Kind::whole;
    const char *by_name = plan::from_clause(all, shape);
    bool is_total =
        chunks.count == 1 && strcmp(plan::from_clause(chunks.chunks[0], shape), by_name) == 0;
    set_pieces(side, chunks, shape, is_total ? nullptr : by_name);
}

[[noreturn]] void raise_names_differ() {
    ereport(ERROR,
            (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
             errmsg("cannot compare columns of types like regclass under a search_path"),
             errdetail("Functions of the table were not found under an empty search_path, and the "
                       "values of these columns would print without their schemas under another."),
             errhint("Leave these columns out, or set a search_path for the functions with ALTER "
                     "FUNCTION ... SET search_path.")));
}

}  // namespace

Plan lead(Area *area, const job::Request &request, source::Connection *connection) {
    lock_target(request.only_table().target);
    pg::take_snapshot(nullptr);
    strlcpy(area->snapshots[target_side], ExportSnapshot(GetActiveSnapshot()),
            sizeof(area->snapshots[target_side]));
    Relation target = open_target(request.only_table().target);
    job::TargetColumns target_columns = sink::read_columns(target);

    plan::SourceTable table;
    plan::find_tables(connection, {&request.only_table().source_table, 1}, &table);
    strlcpy(area->snapshots[source_side], plan::begin_and_export(connection, {&table, 1}),
            sizeof(area->snapshots[source_side]));
    source::normalize_for_comparison(connection);
    source::notice_vanished_client(connection);

    int version = source::server_version(connection);
    const char *encoding = source::parameter(connection, "server_encoding");
    bool same_encoding =
        encoding != nullptr && pg_char_to_encoding(encoding) == GetDatabaseEncoding();

    Plan plan{};
    plan.extra_float_digits = version >= version_with_shortest_floats ? 3 : 0;
    set_float_digits(connection, plan.extra_float_digits);

    plan::SourceColumns columns;
    plan::read_columns(connection, {&table, 1}, &columns);
    plan::RowShape shape =
        plan::match_columns(request, request.only_table(), columns, target_columns, version, true);
    plan::check_composites(connection, table, shape, target);
    if (request.own_search_path && plan::prints_names(shape, columns))
        raise_names_differ();
    plan::probe(connection, table, shape);
    check_filter(target, shape);
    plan::Leaves leaves;
    plan::read_leaves(connection, {&table, 1}, &leaves);
    (void)plan::choose_reader(connection, table, shape, &leaves);
    plan.ranges =
        choose_ranges(connection, request, table, columns, leaves, target_columns, same_encoding);
    bool hash = hashes_agree(connection, same_encoding);
    plan.sums = hash ? 1 : 2;

    cut_source(connection, request, table, columns, &leaves, shape, &plan.sides[source_side]);
    cut_target(target, request, shape, &plan.sides[target_side]);
    for (int side : {source_side, target_side})
        write_query(shape, plan.ranges.expressions[side], hash,
                    side == source_side ? request.source_encoding : nullptr, &plan.sides[side]);
    relation_close(target, NoLock);
    return plan;
}

}  // namespace fastcopy::compare
