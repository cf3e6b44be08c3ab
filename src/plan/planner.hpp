// The planner: facts about a source table in, a list of chunks out.
//
// A relation is cut into many more chunks than there are workers, which claim them one by one, so
// that a skewed table or a slow connection leaves no worker idle. How each leaf is cut:
//
//   no key given, a heap on a server from version 14 on   block ranges by ctid
//   key given, or an older server with a usable index     key ranges
//   anything else, or too small to cut                    one chunk
//
// Sizes count the heap and its TOAST. Bounds of key ranges are plan/bounds.
#ifndef FASTCOPY_PLAN_PLANNER_HPP
#define FASTCOPY_PLAN_PLANNER_HPP

#include "plan/chunk.hpp"
#include "plan/source_table.hpp"

namespace fastcopy::plan {

struct Plan {
    int count;
    Chunk *chunks;
    uint64 bytes_expected;
};

struct CutOptions {
    const char *source_table;  // as the caller has named it
    const char *key;           // nullptr: the planner chooses
    int workers;
    int chunk_size_kb;    // 0: the planner chooses
    bool ring_per_chunk;  // the writer takes a ring of buffers per chunk: larger chunks
};

// Cuts the table. Sorts the leaves by size; chunks are numbered from 1, those of the largest leaves
// first.
Plan cut(source::Connection *connection, const CutOptions &options, const SourceTable &table,
         const SourceColumns &columns, Leaves *leaves);

// The same for leaves of this server: heaps by their blocks, each other leaf as one chunk.
Plan cut_here(const CutOptions &options, Leaves *leaves);

// The same plan in one chunk: one statement reads the table and its children.
Plan keep_whole(const SourceTable &table, const Plan &plan);

}  // namespace fastcopy::plan

#endif
