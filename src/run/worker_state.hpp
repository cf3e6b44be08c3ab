// A worker at work: what worker.cpp and the chunk_*.cpp files share.
#ifndef FASTCOPY_RUN_WORKER_STATE_HPP
#define FASTCOPY_RUN_WORKER_STATE_HPP

#include "job/markers.hpp"
#include "plan/chunk.hpp"
#include "run/process.hpp"
#include "source/connection.hpp"

namespace fastcopy::run {

struct Worker {
    job::SlotRef ref;
    job::WorkerSlot *slot;
    job::JobSlot *job_slot;
    job::Area *area;
    job::Request request;
    source::Connection *connection;  // nullptr while it has none
    // The table of the chunk at hand, and what all its chunks have in common.
    int32 table_number;  // 0: none so far
    job::Table table;
    plan::RowShape shape;
    int table_chunks;              // that the table is cut into
    job::TargetFiles files;        // of the target, as far as this worker knows
    bool stores_elsewhere;         // rows go to other servers, through foreign tables
    MemoryContext of_table;        // where these are
    int32 chunk;                   // at hand; 0: none
    const char *range;             // of the chunk, within its transaction; nullptr outside
    const char *former_snapshot;   // of a resumed job, while its chunks are checked
    int retries;                   // of the current chunk
    const char *checked_relation;  // the last one whose file this connection has checked
    bool reading_source;           // an error now is the source's, not the target's
    bool waits_with_others;        // for a lock: costs no retry
    bool has_company;              // other workers of the job were active when the attempt began
    bool conflicted;      // the last attempt failed by a deadlock or serialization failure here
    int unchecked_count;  // foreign keys that are set aside
    Oid *unchecked;
};

// What a worker does with a chunk, in one local transaction.
using Step = void (*)(Worker *worker, int32 number);

}  // namespace fastcopy::run

#endif
