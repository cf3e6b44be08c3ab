// A worker claims chunks and copies them, in one local transaction each, or, if they are small, many.
//
//     connect to the database, wait at the gate
//     connect to the source, import the snapshot, lock the source table
//     of a resumed job: count the rows of the chunks that are done, wait at the gate again
//     until no chunk is left, or the coordinator requests to stop or retire:
//         claim the next chunk, or several of small tables
//         copy them in one transaction; else each in its own (chunk_copy), with retries after
//         transient errors (chunk_retry)
//
// Any other error is recorded as the job's and ends the worker; the coordinator sees it exit. A
// worker that is terminated records nothing: the coordinator replaces it.
#ifndef FASTCOPY_RUN_WORKER_HPP
#define FASTCOPY_RUN_WORKER_HPP

#include "run/process.hpp"

namespace fastcopy::run {

// Launches worker `number` of the job; false if no slot is free. It starts with the claim, which
// another worker has left undone, or claims its first chunk if that is empty.
bool launch_worker(job::SlotRef job, int32 number, job::ClaimedChunks claim, int32 retries,
                   job::SlotRef *worker, BackgroundWorkerHandle **handle);

}  // namespace fastcopy::run

extern "C" PGDLLEXPORT void fastcopy_worker_main(Datum argument);

#endif
