// A worker's attempts at a chunk, and its connection to the source.
//
// An error rolls the chunk back. After a transient error (run/retry) the worker backs off, connects
// anew, imports the snapshot again and retries the chunk. Any other error is the job's.
//
// An error that left it open whether other servers have stored the rows is never retried.
#ifndef FASTCOPY_RUN_CHUNK_RETRY_HPP
#define FASTCOPY_RUN_CHUNK_RETRY_HPP

#include "run/worker_state.hpp"

namespace fastcopy::run {

// Runs the step on the chunk, with retries up to the limit. False if the crew is to become smaller
// and the chunk is left to others.
bool do_with_retries(Worker *worker, int32 number, Step step);

// Copies the chunks of the worker's claim in one transaction. False if that is not possible, for
// whatever reason: they are to be copied one by one, whose errors and retries concern one chunk.
bool try_at_once(Worker *worker);

// Connects to the source; and, if need be, does so, imports the snapshot and locks the table.
void connect_to_source(Worker *worker);
void join_source(Worker *worker);

// Runs one of these steps before there is anything to claim: to save time, and so that no other
// process waits for a worker that cannot lock the table. Other errors recur with the first chunk,
// and are handled there. False if the lock was not available.
bool try_to_join(Worker *worker, void (*step)(Worker *worker));

// Closes the worker's connection to the source, if it has one.
void leave_source(Worker *worker);

}  // namespace fastcopy::run

#endif
