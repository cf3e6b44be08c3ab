// A comparison's plan, which its leader makes and all of its processes read.
//
// It has two independent divisions. Each side is cut into pieces, by where its rows are stored: a
// worker claims a piece and reads it once. And all rows are sorted into ranges that mean the same
// on both sides, by a key or by their hash: these are compared. A piece may have rows of any range,
// so the query on a piece returns a row per range: its number, the number of rows, and sums of
// their hashes.
//
// A comparison that reads like the copy would repeat the copy's mistakes. So the rows of each side
// are also counted by the table's name, in a piece of its own: if the pieces do not add up to that,
// they have missed or repeated rows.
#ifndef FASTCOPY_COMPARE_PLAN_HPP
#define FASTCOPY_COMPARE_PLAN_HPP

#include "compare/ranges.hpp"
#include "plan/planner.hpp"

namespace fastcopy::compare {

// What one query reads.
struct Piece {
    const char *from;  // what follows FROM: relation and conditions
    bool whole;        // all of a relation, and not only some of its blocks or keys
    bool total;        // only counts rows, of the table by its name
};

// The query over a piece is head, the piece's own part, tail.
struct Side {
    const char *head;
    const char *tail;
    int count;
    Piece *pieces;
    bool counted;  // the first piece is the total
};

struct Plan {
    Ranges ranges;
    int sums;                // number of sums in each row of an answer: 1 or 2
    int extra_float_digits;  // of both sessions
    Side sides[2];
};

// Makes the chunks the side's pieces, after a piece that counts what follows FROM in `all`;
// nullptr: no such piece.
void set_pieces(Side *side, const plan::Plan &chunks, const plan::RowShape &shape, const char *all);

char *query_of(const Side &side, int piece);

void pack(StringInfo bytes, const Plan &plan);
Plan unpack(const char *in);

}  // namespace fastcopy::compare

#endif
