// Leaves: the tables that rows of a target end up in. An ordinary table is its own leaf; a partitioned
// one has its partitions, which the executor finds row by row, and opens and locks as the first row comes.
//
// The short way of inserting asks beforehand whether all leaves are plain, by the catalog alone: to
// lock a thousand partitions for the rows of one would be worse than to be wrong at times. So each is looked at
// again once it is locked, and a chunk that has lost that race is tried again.
#ifndef FASTCOPY_SINK_LEAVES_HPP
#define FASTCOPY_SINK_LEAVES_HPP

#include "pg/postgres.hpp"

namespace fastcopy::sink {

// A leaf, and the rows that are collected for it.
struct Leaf {
    ResultRelInfo *relation;
    TupleDesc tupdesc;  // nullptr if rows are as the target has them, else a copy of the leaf's
    const AttrMap *map;
    bool has_generated;    // columns
    bool has_constraints;  // CHECK, NOT NULL
    bool has_bounds;       // of a partition, which nothing else has checked
    TupleTableSlot **slots;
    uint64 *lines;  // their numbers, for error messages
    int collected;
    int capacity;
};

struct Leaves {
    EState *estate;
    ResultRelInfo *target;
    ModifyTableState *state;             // which the executor wants to see
    PartitionTupleRouting *routes;       // nullptr: the target is the only leaf
    HTAB *known;                         // by `relation`
    const TupleTableSlotOps *slot_kind;  // that all leaves want for inserting
    Leaf *latest;
};

// Whether rows go into each of the target's leaves with nothing but constraints, generated columns and indexes:
// none has triggers on INSERT (so no foreign keys and deferrable constraints), and partitions are heaps.
bool has_plain_leaves(Relation target);

// Allocates in the current memory context, which must live as long as the executor's state.
Leaves *open_leaves(EState *estate, ResultRelInfo *target);

Leaf *route(Leaves *leaves, TupleTableSlot *row);

// The leaf that a row of the target belongs to. An ERROR if there is none.
inline Leaf *find_leaf(Leaves *leaves, TupleTableSlot *row) {
    return leaves->routes == nullptr ? leaves->latest : route(leaves, row);
}

TupleTableSlot *convert(const Leaf &leaf, TupleTableSlot *row);

// The row as the leaf has it: itself, or another one with its values, allocated in the current memory
// context.
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
