// Workers that cannot lock the source table, because somebody else is waiting to.
//
// The coordinator holds ACCESS SHARE on the source table for as long as the job runs. Who wants to alter, empty or drop the
// table queues behind it, and whatever wants to read the table later queues behind them: a worker too that
// connects then. It waits for them, they wait for the job, and the job would wait for the worker. The source's
// deadlock detector does not see that; it knows nothing of the job.
//
// So the sessions of workers have a short lock_timeout, and
//
//   - a worker locks the table as it connects, where it may and where that is one lock or few: the crew of a new
//     job before there is anything to claim, and so it never meets anybody in the queue;
//   - one that comes later claims nothing before it has the lock: the others do the work meanwhile;
//   - one that is in the middle of a chunk (it has lost its connection, or replaces a worker that has gone) tries
//     again. That costs none of its retries while others of the job are at work, for the job goes on. Once nobody is, it
//     fails within the usual retries: they get their lock, and the job can be resumed.
//
// Meanwhile the job's notice says who waits for whom.
#ifndef FASTCOPY_RUN_LOCK_WAIT_HPP
#define FASTCOPY_RUN_LOCK_WAIT_HPP

#include "job/area.hpp"
#include "job/registry.hpp"
#include "source/connection.hpp"

namespace fastcopy::run::lock_wait {

// By the coordinator, before workers run: the statement that locks all they will read; nullptr for none.
void publish(job::Area *area, const char *statement);

// By a worker, on a connection that has joined the job's snapshot. Locks what it will read, or raises an ERROR.
void lock(job::Area *area, job::WorkerSlot *me, source::Connection *connection);

// Whether an error is that of a lock of the source that could not be had.
bool is_cause(const source::Connection *connection, const ErrorData *error);

// After such an error, while the connection is still open: adds to it who is in the way, and writes the job's notice.
// Outside of a transaction.
void explain(job::Area *area, job::WorkerSlot *me, source::Connection *connection,
             ErrorData *error);

// What the worker waited for has come about.
void end(job::Area *area, job::WorkerSlot *me);

// Whether another worker of the job is connected to the source, and not in the same trouble.
bool others_work(const job::WorkerSlot *me);

}  // namespace fastcopy::run::lock_wait

#endif
