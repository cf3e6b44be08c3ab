// Leaves: the tables that store rows of a target. An ordinary table is its own leaf; the leaves of
// a partitioned table are its partitions, which the executor finds row by row, and opens and locks
// with the first row.
//
// The fast path checks beforehand, in the catalog alone, whether all leaves are plain: locking a
// thousand partitions for the rows of one would cost more than to be wrong at times. Each leaf is
// checked again once it is locked; a chunk that loses that race fails with a transient error and is
// retried.
#ifndef FASTCOPY_SINK_LEAVES_HPP
#define FASTCOPY_SINK_LEAVES_HPP

#include "pg/postgres.hpp"

namespace fastcopy::sink {

// A leaf, and the rows that are collected for it.
struct Leaf {
    ResultRelInfo *relation;
    TupleDesc tupdesc;  // nullptr if rows have the target's row type, else a copy of the leaf's
    const AttrMap *map;
    bool has_generated;    // columns
    bool has_constraints;  // CHECK, NOT NULL
    bool has_bounds;       // a partition's, not checked by routing
    TupleTableSlot **slots;
    uint64 *lines;  // their line numbers, for error messages
    int collected;
    int capacity;
};

struct Leaves {
    EState *estate;
    ResultRelInfo *target;
    ModifyTableState *state;             // for the executor
    PartitionTupleRouting *routes;       // nullptr: the target is the only leaf
    HTAB *known;                         // by `relation`
    const TupleTableSlotOps *slot_kind;  // that all leaves use for inserting
    Leaf *latest;
};

// Whether inserting into the target's leaves takes no more than constraints, generated columns and
// indexes: no leaf has triggers on INSERT (so no foreign keys and deferrable constraints), and
// partitions are heaps.
bool has_plain_leaves(Relation target);

// Allocates in the current memory context, which must live as long as the executor's state.
Leaves *open_leaves(EState *estate, ResultRelInfo *target);

Leaf *route(Leaves *leaves, TupleTableSlot *row);

// The leaf that a row of the target belongs to. An ERROR if no partition accepts it.
inline Leaf *find_leaf(Leaves *leaves, TupleTableSlot *row) {
    return leaves->routes == nullptr ? leaves->latest : route(leaves, row);
}

TupleTableSlot *convert(const Leaf &leaf, TupleTableSlot *row);

// The row in the leaf's row type: itself, or a copy, allocated in the current memory context.
inline TupleTableSlot *as_in_leaf(const Leaf &leaf, TupleTableSlot *row) {
    return leaf.map == nullptr ? row : convert(leaf, row);
}

void grow(Leaf *leaf);

inline void collect(Leaf *leaf, TupleTableSlot *row, uint64 line) {
    if (unlikely(leaf->collected == leaf->capacity))
        grow(leaf);
    leaf->slots[leaf->collected] = row;
    leaf->lines[leaf->collected] = line;
    leaf->collected++;
}

void close_leaves(Leaves *leaves);

}  // namespace fastcopy::sink

#endif
