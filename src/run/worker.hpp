// A worker claims chunks and copies them, each in one local transaction.
//
//     connect to the database, wait at the gate
//     of a job that is resumed: count the rows of the chunks that are done, wait at the gate again
//     connect to the source, import the snapshot
//     until there is no chunk left, or the coordinator says stop or retire:
//         claim the next chunk
//         begin ── COPY out of the source → row stream → sink ── mark done in the ledger ── commit
//
// Data flows one way, each part knowing only the next: connection, row stream, sink. An error rolls the
// chunk back. If it is one that passes by itself (a connection lost, a server too busy), the worker
// waits a while, connects anew, imports the snapshot again and goes on with the same chunk; see retry.hpp.
// Any other error is recorded as the job's, and ends the worker; the coordinator sees it go. A worker that
// is terminated records nothing: the coordinator replaces it.
#ifndef FASTCOPY_RUN_WORKER_HPP
#define FASTCOPY_RUN_WORKER_HPP

#include "run/process.hpp"

namespace fastcopy::run {

// Starts worker `number` of the job; false when there is no slot for it. It begins with the given chunk,
// which a former worker has left behind, or claims its first, too, if that is 0.
bool launch_worker(job::SlotRef job, int32 number, int32 first_chunk, int32 first_retries,
                   job::SlotRef *worker, BackgroundWorkerHandle **handle);

}  // namespace fastcopy::run

extern "C" PGDLLEXPORT void fastcopy_worker_main(Datum argument);

#endif
