// Workers that cannot lock the source table because of another session's queued lock request.
//
// The coordinator holds ACCESS SHARE on the source table while chunks are copied. A session that
// wants to alter, truncate or drop the table queues behind it, and later readers, such as a worker
// that connects then, queue behind that session. It waits for the job, and the job would wait for
// the worker: a deadlock that the source's deadlock detector cannot see.
//
// So workers' sessions have a short lock_timeout, and
//
//   - a worker locks the job's tables as it connects, if it may, if that takes few locks, and if the
//     statement is short: of many tables it locks each with its first chunk. The crew of a new job
//     does so before the gate opens, and so meets no queue;
//   - a worker that connects later claims no chunk before it holds the lock; other workers copy
//     meanwhile;
//   - a worker that needs the lock within a chunk (it has lost its connection, or replaces another
//     worker) retries. This costs none of the chunk's retries while other workers of the job make
//     progress. When none does, the worker fails within the usual retries: the other session gets
//     its lock, and the job can be resumed.
//
// Meanwhile a notice of the job says which sessions wait.
#ifndef FASTCOPY_RUN_LOCK_WAIT_HPP
#define FASTCOPY_RUN_LOCK_WAIT_HPP

#include "job/area.hpp"
#include "job/registry.hpp"
#include "source/connection.hpp"

namespace fastcopy::run::lock_wait {

// By the coordinator, before workers join: the statement that locks all they will read; nullptr for
// none.
void publish(job::Area *area, const char *statement);

// By a worker, on a connection that has joined the job's snapshot. Locks what it will read, or
// raises an ERROR.
void lock(job::Area *area, job::WorkerSlot *me, source::Connection *connection);

// Whether an error of the source is a lock timeout.
bool is_cause(const source::Connection *connection, const ErrorData *error);

// After such an error, with the connection still open and outside of a transaction: adds the
// sessions in the way to the error, and writes the notice.
void explain(job::Area *area, job::WorkerSlot *me, source::Connection *connection,
             ErrorData *error);

// The worker has its lock, or needs none any more: removes the notice.
void end(job::Area *area, job::WorkerSlot *me);

// By the coordinator, once no worker copies: removes notices of workers that were terminated.
void forget(job::Area *area);

// Whether another worker of the job is connected to the source and does not wait for a lock.
bool others_work(const job::WorkerSlot *me);

}  // namespace fastcopy::run::lock_wait

#endif
