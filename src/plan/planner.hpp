// The planner: facts about a source table in, a list of chunks out.
//
// A relation is cut into many more chunks than there are workers, which claim them one by one: a skewed
// table or a slow connection leaves nobody idle. How each leaf is cut:
//
//   no key given, a heap on a server from version 14 on   block ranges by ctid
//   key given, or an older server with a usable index     key ranges
//   anything else, or too small to cut                    one chunk
//
// Sizes count the heap and its TOAST. Bounds of key ranges come from the source's statistics; where
// those are missing, from arithmetic between the least and the greatest key, which an index has at hand.
#ifndef FASTCOPY_PLAN_PLANNER_HPP
#define FASTCOPY_PLAN_PLANNER_HPP

#include "job/area.hpp"
#include "plan/chunk.hpp"
#include "plan/source_table.hpp"

namespace fastcopy::plan {

struct Plan {
    int count;
    Chunk *chunks;
    uint64 bytes_expected;
};

// Cuts the table. Chunks are numbered from 1, those of the largest leaves first. `ring_per_chunk`:
// the writer takes a new ring of buffers for each chunk, so chunks are made larger.
Plan cut(source::Connection *connection, const job::Request &request, const SourceTable &table,
         const SourceColumns &columns, const SourceLeaves &leaves, bool ring_per_chunk = false);

// The same job in one chunk: the rows of the table and its children by one statement.
Plan keep_whole(const SourceTable &table, const Plan &plan);

// Bytes of heap and TOAST: what a job's progress is measured by.
uint64 size_of(const SourceLeaves &leaves);

}  // namespace fastcopy::plan

#endif
