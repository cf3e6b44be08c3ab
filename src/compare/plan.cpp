#include "compare/plan.hpp"

#include "pg/packing.hpp"

namespace fastcopy::compare {

namespace {

template <typename Archive>
void visit(Archive &archive, Ranges &ranges) {
    archive.value(ranges.by);
    for (const char *&expression : ranges.expressions)
        archive.text(expression);
    archive.text(ranges.column);
    archive.text(ranges.shown);
    archive.value(ranges.nbounds);
    archive.texts(ranges.bounds, ranges.nbounds);
    archive.texts(ranges.literals, ranges.nbounds);
}

template <typename Archive>
void visit(Archive &archive, Side &side) {
    archive.text(side.head);
    archive.text(side.tail);
    archive.value(side.count);
    archive.value(side.counted);
    archive.elements(side.pieces, side.count);
    for (int i = 0; i < side.count; i++) {
        archive.text(side.pieces[i].from);
        archive.value(side.pieces[i].whole);
        archive.value(side.pieces[i].total);
    }
}

template <typename Archive>
void visit(Archive &archive, Plan &plan) {
    visit(archive, plan.ranges);
    archive.value(plan.sums);
    archive.value(plan.extra_float_digits);
    for (Side &side : plan.sides)
        visit(archive, side);
}

}  // namespace

void set_pieces(Side *side, const plan::Plan &chunks, const plan::RowShape &shape,
                const char *all) {
    side->counted = all != nullptr;
    side->count = chunks.count + (side->counted ? 1 : 0);
    side->pieces = static_cast<Piece *>(palloc0(sizeof(Piece) * Max(side->count, 1)));
    Piece *piece = side->pieces;
    if (side->counted)
        *piece++ = Piece{all, true, true};
    for (int i = 0; i < chunks.count; i++) {
        const plan::Chunk &chunk = chunks.chunks[i];
        *piece++ = Piece{plan::from_clause(chunk, shape), chunk.kind == plan::Kind::whole, false};
    }
}

char *query_of(const Side &side, int piece) {
    if (side.pieces[piece].total)
        return psprintf("SELECT pg_catalog.count(*) FROM %s", side.pieces[piece].from);
    return psprintf("%s%s%s", side.head, side.pieces[piece].from, side.tail);
}

void pack(StringInfo bytes, const Plan &plan) {
    pg::Packer packer{bytes};
    visit(packer, const_cast<Plan &>(plan));
}

Plan unpack(const char *in) {
    Plan plan{};
    pg::Unpacker unpacker{in};
    visit(unpacker, plan);
    return plan;
}

}  // namespace fastcopy::compare
