// A worker claims chunks and copies them, each in one local transaction.
//
//     connect to the database, connect to the source, wait at the gate, import the snapshot
//     until there is no chunk left, or the coordinator says stop or retire:
//         claim the next chunk
//         begin ── COPY out of the source → row stream → sink ── mark done in the ledger ── commit
//
// Data flows one way, each part knowing only the next: connection, row stream, sink. An error rolls the
// chunk back. If it is one that passes by itself (a connection lost, a server too busy), the worker
// waits a while, connects anew, imports the snapshot again and goes on with the same chunk; see retry.hpp.
// Any other error is recorded as the job's, and ends the worker; the coordinator sees it go.
#ifndef FASTCOPY_RUN_WORKER_HPP
#define FASTCOPY_RUN_WORKER_HPP

#include "run/process.hpp"

namespace fastcopy::run {

// Starts worker `number` of the job; false when there is no slot for it.
bool launch_worker(job::SlotRef job, int32 number, job::SlotRef *worker,
                   BackgroundWorkerHandle **handle);

}  // namespace fastcopy::run

extern "C" PGDLLEXPORT void fastcopy_worker_main(Datum argument);

#endif
