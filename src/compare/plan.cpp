#include "compare/plan.hpp"

#include "pg/packing.hpp"

namespace fastcopy::compare {

namespace {

void put_strings(StringInfo bytes, int count, const char *const *texts) {
    for (int i = 0; i < count; i++)
        pg::put_string(bytes, texts[i]);
}

const char **get_strings(const char **in, int count) {
    auto **texts = static_cast<const char **>(palloc(sizeof(char *) * Max(count, 1)));
    for (int i = 0; i < count; i++)
        texts[i] = pg::get_string(in);
    return texts;
}

}  // namespace

void allocate_pieces(Side *side, int count, const char *all) {
    side->counted = all != nullptr;
    side->count = count + (side->counted ? 1 : 0);
    side->pieces = static_cast<Piece *>(palloc0(sizeof(Piece) * Max(side->count, 1)));
    if (side->counted)
        side->pieces[0] = Piece{all, true, true};
}

char *query_of(const Side &side, int piece) {
    if (side.pieces[piece].total)
        return psprintf("SELECT pg_catalog.count(*) FROM %s", side.pieces[piece].from);
    return psprintf("%s%s%s", side.head, side.pieces[piece].from, side.tail);
}

void pack(StringInfo bytes, const Plan &plan) {
    pg::put(bytes, plan.ranges.by);
    put_strings(bytes, 2, plan.ranges.expressions);
    pg::put_string(bytes, plan.ranges.column);
    pg::put_string(bytes, plan.ranges.shown);
    pg::put(bytes, plan.ranges.nbounds);
    put_strings(bytes, plan.ranges.nbounds, plan.ranges.bounds);
    put_strings(bytes, plan.ranges.nbounds, plan.ranges.literals);
    pg::put(bytes, plan.sums);
    pg::put(bytes, plan.extra_float_digits);
    for (const Side &side : plan.sides) {
        pg::put_string(bytes, side.head);
        pg::put_string(bytes, side.tail);
        pg::put(bytes, side.count);
        pg::put(bytes, side.counted);
        for (int i = 0; i < side.count; i++) {
            pg::put_string(bytes, side.pieces[i].from);
            pg::put(bytes, side.pieces[i].whole);
            pg::put(bytes, side.pieces[i].total);
        }
    }
}

Plan unpack(const char *in) {
    Plan plan;
    plan.ranges.by = pg::get<By>(&in);
    for (const char *&expression : plan.ranges.expressions)
        expression = pg::get_string(&in);
    plan.ranges.column = pg::get_string(&in);
    plan.ranges.shown = pg::get_string(&in);
    plan.ranges.nbounds = pg::get<int>(&in);
    plan.ranges.bounds = get_strings(&in, plan.ranges.nbounds);
    plan.ranges.literals = get_strings(&in, plan.ranges.nbounds);
    plan.sums = pg::get<int>(&in);
    plan.extra_float_digits = pg::get<int>(&in);
    for (Side &side : plan.sides) {
        side.head = pg::get_string(&in);
        side.tail = pg::get_string(&in);
        side.count = pg::get<int>(&in);
        side.counted = pg::get<bool>(&in);
        side.pieces = static_cast<Piece *>(palloc(sizeof(Piece) * Max(side.count, 1)));
        for (int i = 0; i < side.count; i++) {
            side.pieces[i].from = pg::get_string(&in);
            side.pieces[i].whole = pg::get<bool>(&in);
            side.pieces[i].total = pg::get<bool>(&in);
        }
    }
    return plan;
}

}  // namespace fastcopy::compare
