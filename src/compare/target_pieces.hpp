// The target of a comparison: opened for reading only, and cut into pieces by its blocks.
//
// Any relation that can be read can be compared: tables, partitioned tables and all below them,
// materialized views, views, foreign tables. Heaps that the caller may read directly are cut by
// ctid; all others are one piece, and partitions or children that may only be read through their
// parent make the whole table one piece.
#ifndef FASTCOPY_COMPARE_TARGET_PIECES_HPP
#define FASTCOPY_COMPARE_TARGET_PIECES_HPP

#include "compare/plan.hpp"

namespace fastcopy::compare {

// Locks the target and all below it for reading. Call it before the snapshot is taken: a
// TRUNCATE or rewrite in between would show an empty table.
void lock_target(Oid relid);

// Opens the target. An ERROR if it was dropped or other processes cannot read it.
Relation open_target(Oid relid);

// An ERROR unless the filter is one expression, by the rule of plan/probe.hpp.
void check_filter(Relation target, const plan::RowShape &shape);

// Cuts the target into the side's pieces; needs a snapshot.
void cut_target(Relation target, const job::Request &request, const plan::RowShape &shape,
                Side *side);

}  // namespace fastcopy::compare

#endif
