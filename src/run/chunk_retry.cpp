#include "run/chunk_retry.hpp"

#include "run/chunk_copy.hpp"
#include "run/lock_wait.hpp"
#include "run/retry.hpp"
#include "run/search_path.hpp"
#include "run/snapshot.hpp"
#include "sink/target_files.hpp"
#include "source/session.hpp"

namespace fastcopy::run {

namespace {

// Before a chunk is retried that has conflicted with other workers, so that these can commit.
constexpr int conflict_delay_ms = 100;

// Whether a retry of the chunk may help. A lost connection counts only if it was the one to the
// source: through another, of a foreign table, rows may have been stored.
bool may_retry(const Worker *worker, const ErrorData *error) {
    if (!retry::is_transient(error->sqlerrcode))
        return false;
    return worker->reading_source || !retry::is_of_connection(error->sqlerrcode);
}

// Rolls a failed attempt back on the target.
void roll_back(Worker *worker, MemoryContext context) {
    FlushErrorState();
    debug_query_string = nullptr;
    worker->range = nullptr;
    pg::abort_transaction();
    sink::look_again();
    MemoryContextSwitchTo(context);
}

// Cleans up after it on the source; logs the error.
void recover_from(Worker *worker, ErrorData *error) {
    pg::report_caught(LOG, error,
                      psprintf("fastcopy job " INT64_FORMAT " will retry chunk %d",
                               worker->area->job, worker->chunk));
    FreeErrorData(error);
    leave_source(worker);
    pg_atomic_write_u64(&worker->slot->rows, 0);
    pg_atomic_write_u64(&worker->slot->bytes, 0);
}

// Joins the source, if it must, and the hand-over of the snapshot.
void get_ready(Worker *worker) {
    worker->reading_source = true;
    if (pg_atomic_read_u32(&worker->slot->holds_snapshot) == 0)
        join_source(worker);
    snapshot::offer_if_wanted(worker->area, worker->connection,
                              worker->job_slot->coordinator_latch);
    worker->reading_source = false;
}

// Whether an error ends this process: its cause is not the source.
bool is_of_this_process(const Worker *worker, const ErrorData *error) {
    bool of_source =
        worker->connection != nullptr && worker->connection->last_error == error->sqlerrcode;
    return !of_source && (error->sqlerrcode == ERRCODE_ADMIN_SHUTDOWN ||
                          error->sqlerrcode == ERRCODE_QUERY_CANCELED);
}

// Whether the job wants more workers than this one. Workers that it no longer wants may still be
// active.
bool is_one_of_many(const Worker *worker) {
    return pg_atomic_read_u32(&worker->job_slot->workers_wanted) > 1;
}

// Tries a step on a chunk; false if it failed and may be retried. Its transaction is then rolled
// back and the connection closed.
bool try_chunk(Worker *worker, int32 number, Step step, int retries_left) {
    MemoryContext context = CurrentMemoryContext;
    volatile bool done = false;
    worker->chunk = number;
    pg_atomic_write_u32(&worker->slot->chunk, static_cast<uint32>(number));
    pg_atomic_write_u32(&worker->slot->committing_elsewhere, 0);
    worker->has_company = is_one_of_many(worker) || lock_wait::others_work(worker->slot);
    PG_TRY();
    {
        get_ready(worker);
        step(worker, number);
        lock_wait::end(worker->area, worker->slot);
        done = true;
    }
    PG_CATCH();
    {
        MemoryContextSwitchTo(context);
        ErrorData *error = CopyErrorData();
        if (pg_atomic_read_u32(&worker->slot->committing_elsewhere) != 0) {
            FlushErrorState();
            raise_unresolved(number, worker->table.target_table, error->message);
        }
        bool switched =
            search_path::may_switch(worker->area, worker->job_slot, worker->connection, error);
        bool lock_wait = lock_wait::is_cause(worker->connection, error);
        worker->waits_with_others = lock_wait && lock_wait::others_work(worker->slot);
        // The coordinator makes a crew smaller whose workers conflict with each other
        // (run/coordinator).
        worker->conflicted = retry::is_conflict(error->sqlerrcode) && !worker->reading_source &&
                             (worker->has_company || is_one_of_many(worker));
        bool again = switched || worker->waits_with_others || worker->conflicted ||
                     (retries_left > 0 && may_retry(worker, error));
        if (!again && !lock_wait)
            PG_RE_THROW();
        roll_back(worker, context);
        if (lock_wait)
            lock_wait::explain(worker->area, worker->slot, worker->connection, error);
        if (!again)
            ReThrowError(error);
        recover_from(worker, error);
    }
    PG_END_TRY();
    return done;
}

}  // namespace

void connect_to_source(Worker *worker) {
    worker->connection =
        source::connect(worker->request, psprintf("fastcopy job " INT64_FORMAT " worker %d",
                                                  worker->area->job, worker->slot->number));
    pg_atomic_write_u32(&worker->slot->source_pid,
                        static_cast<uint32>(source::backend_pid(worker->connection)));
}

void join_source(Worker *worker) {
    if (worker->connection == nullptr)
        connect_to_source(worker);
    snapshot::join(worker->area, worker->connection, worker->job_slot->coordinator_latch);
    pg_atomic_write_u32(&worker->slot->holds_snapshot, 1);
    source::notice_vanished_client(worker->connection);
    search_path::adopt(worker->area, worker->connection);
    lock_wait::lock(worker->area, worker->slot, worker->connection);
}

void leave_source(Worker *worker) {
    pg_atomic_write_u32(&worker->slot->holds_snapshot, 0);
    pg_atomic_write_u32(&worker->slot->source_pid, 0);
    if (worker->connection != nullptr)
        source::close(worker->connection);
    worker->connection = nullptr;
    worker->checked_relation = nullptr;
}

bool do_with_retries(Worker *worker, int32 number, Step step) {
    pg_atomic_write_u32(&worker->slot->chunk_retries, static_cast<uint32>(worker->retries));
    while (!try_chunk(worker, number, step, worker->request.retry_limit - worker->retries)) {
        pg_atomic_fetch_add_u32(&worker->slot->retries, 1);
        if (worker->conflicted) {
            pg_atomic_fetch_add_u32(&worker->job_slot->conflicts, 1);
            SetLatch(worker->job_slot->coordinator_latch);
            retry::back_off(conflict_delay_ms, 0);
            if (pg_atomic_read_u32(&worker->slot->retire) != 0)
                return false;
            continue;
        }
        retry::back_off(worker->request.retry_delay_ms,
                        worker->waits_with_others ? 0 : worker->retries);
        if (!worker->waits_with_others)
            worker->retries++;
        pg_atomic_write_u32(&worker->slot->chunk_retries, static_cast<uint32>(worker->retries));
    }
    worker->retries = 0;
    return true;
}

namespace {

// Whether an error of a batch is one that its chunk by itself would end the job with: it is of the
// target, and not transient, or other servers may have stored rows.
bool is_final(const Worker *worker, const ErrorData *error) {
    if (worker->reading_source)
        return false;
    return retry::is_of_connection(error->sqlerrcode) ||
           error->sqlerrcode == ERRCODE_TRANSACTION_RESOLUTION_UNKNOWN ||
           (worker->range != nullptr && !retry::is_transient(error->sqlerrcode));
}

}  // namespace

bool try_at_once(Worker *worker) {
    MemoryContext context = CurrentMemoryContext;
    volatile bool done = false;
    job::ClaimedChunks claim = job::read_claim(worker->slot);
    worker->retries = 0;
    pg_atomic_write_u32(&worker->slot->committing_elsewhere, 0);
    PG_TRY();
    {
        get_ready(worker);
        done = copy_chunks(worker, claim);
        lock_wait::end(worker->area, worker->slot);
    }
    PG_CATCH();
    {
        MemoryContextSwitchTo(context);
        ErrorData *error = CopyErrorData();
        // A table that was truncated stays so; and this connection may be the last to hold the
        // snapshot that says so.
        bool replaced = error->sqlerrcode == ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE;
        if (replaced && worker->range == nullptr)
            worker->chunk = 0;  // any of them
        if (is_of_this_process(worker, error) || replaced || is_final(worker, error))
            PG_RE_THROW();
        roll_back(worker, context);
        pg::report_caught(
            LOG, error,
            psprintf("fastcopy job " INT64_FORMAT " will copy chunks %d to %d one by one",
                     worker->area->job, claim.first, claim.first + claim.count - 1));
        FreeErrorData(error);
        leave_source(worker);
    }
    PG_END_TRY();
    if (!done) {
        worker->table_number = 0;
        worker->chunk = 0;
        pg_atomic_write_u32(&worker->slot->chunk, 0);
        pg_atomic_write_u64(&worker->slot->rows, 0);
        pg_atomic_write_u64(&worker->slot->bytes, 0);
    }
    return done;
}

bool try_to_join(Worker *worker, void (*step)(Worker *worker)) {
    MemoryContext context = CurrentMemoryContext;
    volatile bool locked = true;
    PG_TRY();
    { step(worker); }
    PG_CATCH();
    {
        MemoryContextSwitchTo(context);
        ErrorData *error = CopyErrorData();
        if (is_of_this_process(worker, error))
            PG_RE_THROW();
        FlushErrorState();
        pg::abort_transaction();
        MemoryContextSwitchTo(context);
        if (lock_wait::is_cause(worker->connection, error)) {
            locked = false;
            lock_wait::explain(worker->area, worker->slot, worker->connection, error);
        }
        FreeErrorData(error);
        leave_source(worker);
    }
    PG_END_TRY();
    MemoryContextSwitchTo(context);
    return locked;
}

}  // namespace fastcopy::run
