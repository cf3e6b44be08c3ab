#include "run/worker.hpp"

#include "job/ledger.hpp"
#include "pg/toast.hpp"
#include "pg/wait.hpp"
#include "plan/chunk.hpp"
#include "plan/markers.hpp"
#include "run/index_builder.hpp"
#include "run/lock_wait.hpp"
#include "run/marker_wait.hpp"
#include "run/retry.hpp"
#include "run/search_path.hpp"
#include "run/snapshot.hpp"
#include "sink/copy_in.hpp"
#include "sink/foreign_keys.hpp"
#include "sink/target.hpp"
#include "sink/target_files.hpp"
#include "source/connection.hpp"
#include "source/row_stream.hpp"
#include "source/session.hpp"

namespace fastcopy::run {

namespace {

// This process, for the exit callback and for error reports.
job::SlotRef my_ref;
job::WorkerSlot *me = nullptr;
int32 current_chunk = 0;
const char *current_range = nullptr;  // nullptr outside of a chunk
const char *text_because = nullptr;   // as in plan::RowShape

// What a worker works with, set once.
struct Worker {
    job::JobSlot *job_slot;
    job::Area *area;
    job::Request request;
    source::Connection *connection;
    plan::RowShape shape;
    const char *former_snapshot;   // of a job that is resumed, while its chunks are checked
    int retries;                   // of the current chunk
    const char *checked_relation;  // whose file this connection has checked last
    job::TargetFiles files;        // of the target, as far as this worker knows
    bool stores_elsewhere;         // rows go to other servers, by foreign tables
    bool reading_source;           // what fails now is the source, not the target
    bool waits_with_others;        // for a lock, which costs no retry
    bool has_company;              // others of the job were at work when the attempt began
    bool conflicted;               // the last attempt met another transaction here
    int unchecked_count;           // foreign keys that are set aside
    Oid *unchecked;
};

Worker self;
constexpr bool logs_errors = true;

// The rows of a chunk on their way from the source to the sink.
struct Feed {
    Worker *worker;
    source::RowStream stream;
};

// Before a chunk is tried again that was rolled back over locks of other workers: for these to commit.
constexpr int conflict_delay_ms = 100;

// What is done with a chunk.
using Step = void (*)(Worker *worker, int32 number);

// Where the stream counts go: the worker's slot, for fastcopy.status and fastcopy.workers.
int read_and_count(void *self, char *buffer, int size) {
    auto *feed = static_cast<Feed *>(self);
    feed->worker->reading_source = true;
    int got = source::read(&feed->stream, buffer, size);
    feed->worker->reading_source = false;
    pg_atomic_write_u64(&me->rows, feed->stream.messages);
    pg_atomic_write_u64(&me->bytes, feed->stream.bytes);
    return got;
}

int largest_row(void *self) noexcept {
    return static_cast<Feed *>(self)->stream.largest_message;
}

void add_chunk_context(void *) noexcept {
    if (current_range != nullptr)
        errcontext("fastcopy chunk %d: %s", current_chunk, current_range);
    // PostgreSQL has several words for a value that is too large.
    int code = geterrcode();
    if (text_because != nullptr && current_range != nullptr &&
        (code == ERRCODE_PROGRAM_LIMIT_EXCEEDED || code == ERRCODE_INTERNAL_ERROR ||
         code == ERRCODE_OUT_OF_MEMORY))
        errcontext(
            "rows are sent as text, in which a value can take twice as much as in binary, "
            "because of the type of column \"%s\"",
            text_because);
}

void leave_at_exit(int, Datum) {
    job::leave_worker(my_ref);
}

job::Gate gate_of(Worker *worker) {
    return static_cast<job::Gate>(pg_atomic_read_u32(&worker->area->gate));
}

// Waits until the coordinator has moved the gate from where it was. The coordinator ends its workers when it
// fails.
job::Gate wait_at_gate(Worker *worker, job::Gate was) {
    for (;;) {
        job::Gate now = gate_of(worker);
        if (now != was) {
            pg_read_barrier();
            return now;
        }
        (void)pg::wait_latch();
    }
}

void connect_to_source(Worker *worker) {
    worker->connection = source::connect(
        worker->request,
        psprintf("fastcopy job " INT64_FORMAT " worker %d", worker->area->job, me->number));
    pg_atomic_write_u32(&me->source_pid,
                        static_cast<uint32>(source::backend_pid(worker->connection)));
}

void join_source(Worker *worker) {
    if (worker->connection == nullptr)
        connect_to_source(worker);
    snapshot::join(worker->area, worker->connection, worker->job_slot->coordinator_latch);
    pg_atomic_write_u32(&me->holds_snapshot, 1);
    source::notice_vanished_client(worker->connection);
    search_path::adopt(worker->area, worker->connection);
    lock_wait::lock(worker->area, me, worker->connection);
}

void leave_source(Worker *worker) {
    pg_atomic_write_u32(&me->holds_snapshot, 0);
    pg_atomic_write_u32(&me->source_pid, 0);
    if (worker->connection != nullptr)
        source::close(worker->connection);
    worker->connection = nullptr;
    worker->checked_relation = nullptr;
}

// The next chunk's number by that counter, or 0 when there is none left for this worker.
int32 claim(Worker *worker, pg_atomic_uint32 *counter) {
    if (pg_atomic_read_u32(&worker->job_slot->stop) != 0 || pg_atomic_read_u32(&me->retire) != 0)
        return 0;
    uint32 claimed = pg_atomic_fetch_add_u32(counter, 1);
    if (claimed >= pg_atomic_read_u32(&worker->job_slot->chunks)) {
        // Keeps the counter from running away however often workers come to look.
        pg_atomic_fetch_sub_u32(counter, 1);
        return 0;
    }
    return static_cast<int32>(claimed) + 1;
}

// What the source is sent: a statement on the chunk, its name for the source's pg_stat_activity, and the
// planner's way: a part of a table is found by ctid or index, all of it by a sequential scan.
char *source_statement(const Worker *worker, const plan::Chunk &chunk, const char *statement) {
    return psprintf("SET application_name = 'fastcopy job " INT64_FORMAT
                    " chunk %d';"
                    "SET enable_seqscan = %s; %s",
                    worker->area->job, chunk.number, chunk.kind == plan::Kind::whole ? "on" : "off",
                    statement);
}

// The source says how many rows it sent. Where the target drops none, as many must have been inserted: anything
// else would be a bug of ours, and is better found here than by the user. Returns whether the target may drop
// rows, which is looked at only if some are missing.
bool check_count(Relation target, const source::RowStream &stream, uint64 rows) {
    if (!stream.at_end)
        ereport(ERROR, (errcode(ERRCODE_BAD_COPY_FILE_FORMAT),
                        errmsg("unexpected data after end of COPY from source")));
    if (rows == stream.rows_sent)
        return false;
    if (!sink::may_drop_rows(target))
        ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
                        errmsg("the source sent " UINT64_FORMAT " rows, but " UINT64_FORMAT
                               " were inserted",
                               stream.rows_sent, rows)));
    return true;
}

// The rows were read by the job's snapshot, but from the file that is there now: one that TRUNCATE or a rewrite has
// put in the place of the snapshot's lacks rows. Once our own read has locked the relation, its file stays.
void check_source_file(Worker *worker, const plan::Chunk &chunk) {
    if (worker->checked_relation != nullptr &&
        strcmp(worker->checked_relation, chunk.relation) == 0)
        return;
    plan::check_not_replaced(worker->connection, chunk);
    worker->checked_relation = MemoryContextStrdup(TopMemoryContext, chunk.relation);
}

// The target must have all files that this job has written to, and the ledger must know those that this chunk's
// rows may have gone to: partitions that were attached meanwhile. In the chunk's transaction, after its rows.
void check_target_files(Worker *worker, Relation target) {
    if (!sink::catalogs_have_changed())
        return;
    job::TargetFiles now = sink::read_files(worker->request.target);
    if (sink::without(worker->files, now).count > 0)
        sink::raise_files_lost(worker->request.target_table);
    job::TargetFiles fresh = sink::without(now, worker->files);
    if (fresh.count > 0)
        job::ledger::add_target_files(worker->area->job, fresh);
    worker->stores_elsewhere = sink::stores_elsewhere(target);
}

void report_done(Worker *worker, const job::ledger::CopiedChunk &copied) {
    pg_atomic_write_u32(&me->chunk, 0);
    pg_atomic_write_u64(&me->rows, 0);
    pg_atomic_write_u64(&me->bytes, 0);
    pg_atomic_fetch_add_u64(&worker->job_slot->rows, static_cast<int64>(copied.rows_sent));
    pg_atomic_fetch_add_u64(&worker->job_slot->bytes, static_cast<int64>(copied.bytes));
    pg_atomic_fetch_add_u32(&worker->job_slot->chunks_done, 1);
    pg_atomic_fetch_add_u32(&me->chunks_done, 1);
    pg_atomic_fetch_add_u64(&me->rows_done, static_cast<int64>(copied.rows_sent));
    pg_atomic_fetch_add_u64(&me->bytes_done, static_cast<int64>(copied.bytes));
    current_chunk = 0;
}

// Copies one chunk. All it allocates goes with its transaction, whose memory is the current context.
void copy_chunk(Worker *worker, int32 number) {
    TimestampTz started_at = GetCurrentTimestamp();
    pg::begin_transaction(worker->area->identity);
    take_on_settings(worker->request);
    plan::Chunk chunk = job::ledger::read_chunk(worker->area->job, number);
    if (chunk.done) {
        // Before the job was resumed, and counted then.
        pg::commit_transaction();
        pg_atomic_write_u32(&me->chunk, 0);
        current_chunk = 0;
        return;
    }
    current_range = plan::describe(chunk);
    char *statement =
        psprintf("COPY %s FROM fastcopy source %s", worker->request.target_table, current_range);
    pg::show_activity(psprintf("fastcopy job " INT64_FORMAT " chunk %d", worker->area->job, number),
                      statement);

    Relation target = sink::open_target(worker->request.target);
    sink::check_types(target, worker->shape.ncolumns, worker->shape.columns, worker->shape.types);
    ParseState *pstate = sink::check_insert(target, worker->shape.ncolumns, worker->shape.columns);
    worker->reading_source = true;
    Feed feed{worker, source::open(worker->connection,
                                   source_statement(worker, chunk,
                                                    plan::copy_statement(chunk, worker->shape)))};
    worker->reading_source = false;
    sink::leave_unchecked(worker->request.target, worker->unchecked, worker->unchecked_count);
    sink::ByteSource bytes{&feed, read_and_count, largest_row};
    uint64 rows = sink::copy_in(target, pstate, worker->shape.ncolumns, worker->shape.columns,
                                worker->shape.as_written, worker->shape.binary,
                                worker->request.source_encoding, bytes);
    sink::check_again();
    bool may_drop_rows = check_count(target, feed.stream, rows);
    worker->reading_source = true;
    check_source_file(worker, chunk);
    worker->reading_source = false;
    marker_wait::wait(worker->area, worker->job_slot);
    check_target_files(worker, target);  // may lock the job's row, which the marker is written to
    table_close(target, NoLock);

    job::ledger::CopiedChunk copied{.number = number,
                                    .worker = me->number,
                                    .rows = rows,
                                    .rows_sent = feed.stream.rows_sent,
                                    .may_drop_rows = may_drop_rows,
                                    .bytes = feed.stream.bytes,
                                    .retries = worker->retries,
                                    .started_at = started_at};
    job::ledger::mark_done(worker->area->job, copied);
    pg_atomic_write_u32(&me->committing_elsewhere, worker->stores_elsewhere ? 1 : 0);
    pg::commit_transaction();
    pg_atomic_write_u32(&me->committing_elsewhere, 0);
    current_range = nullptr;
    debug_query_string = nullptr;
    report_done(worker, copied);
}

// Of a job that is to be resumed: raises an ERROR if the chunk is done and its rows on the source are not
// those that were copied.
void check_chunk(Worker *worker, int32 number) {
    pg::begin_transaction(worker->area->identity);
    plan::Chunk chunk = job::ledger::read_chunk(worker->area->job, number);
    if (chunk.done) {
        current_range = plan::describe(chunk);
        const char *statement =
            plan::count_statement(chunk, worker->shape, worker->former_snapshot);
        pg::show_activity(
            psprintf("fastcopy job " INT64_FORMAT " chunk %d", worker->area->job, number),
            psprintf("looking for changes in %s", current_range));
        worker->reading_source = true;
        source::Rows counts =
            source::query(worker->connection, source_statement(worker, chunk, statement));
        auto now = static_cast<uint64>(counts.number_at(0, 0, 0, PG_INT64_MAX));
        auto newer = static_cast<uint64>(counts.number_at(0, 1, 0, PG_INT64_MAX));
        if (now != chunk.rows_sent || newer != 0)
            plan::raise_changed(
                worker->request.source_table,
                psprintf("Chunk %d had " UINT64_FORMAT " rows; now it has " UINT64_FORMAT
                         ", of which " UINT64_FORMAT " are new or updated.",
                         number, chunk.rows_sent, now, newer));
    }
    pg::commit_transaction();
    current_range = nullptr;
    debug_query_string = nullptr;
    pg_atomic_write_u32(&me->chunk, 0);
    current_chunk = 0;
    pg_atomic_fetch_add_u32(&worker->job_slot->chunks_checked, 1);
}

// Whether it helps to try a chunk again after that error. A connection that broke is a reason only if it was
// ours to the source: one of the target's own, a foreign table's say, may have stored the rows.
bool is_transient(const Worker *worker, const ErrorData *error) {
    if (!retry::may_pass(error->sqlerrcode))
        return false;
    return worker->reading_source || !retry::is_of_connection(error->sqlerrcode);
}

// Undoes what a failed try has left behind on the target.
void roll_back(MemoryContext context) {
    FlushErrorState();
    debug_query_string = nullptr;
    current_range = nullptr;
    pg::abort_transaction();
    sink::look_again();
    MemoryContextSwitchTo(context);
}

// And on the source; logs the error.
void recover_from(Worker *worker, ErrorData *error) {
    pg::report_caught(LOG, error,
                      psprintf("fastcopy job " INT64_FORMAT " will retry chunk %d",
                               worker->area->job, current_chunk));
    FreeErrorData(error);
    leave_source(worker);
    pg_atomic_write_u64(&me->rows, 0);
    pg_atomic_write_u64(&me->bytes, 0);
}

// Whether the job wants more workers than this one. Those that it no longer wants may still be at work.
bool is_one_of_many(const Worker *worker) {
    return pg_atomic_read_u32(&worker->job_slot->workers_wanted) > 1;
}

// Tries a step on a chunk; false if it failed with a transient error. Then its transaction is rolled back and the
// worker has no connection.
bool try_chunk(Worker *worker, int32 number, Step step, int retries_left) {
    MemoryContext context = CurrentMemoryContext;
    volatile bool done = false;
    current_chunk = number;
    pg_atomic_write_u32(&me->chunk, static_cast<uint32>(number));
    pg_atomic_write_u32(&me->committing_elsewhere, 0);
    worker->has_company = is_one_of_many(worker) || lock_wait::others_work(me);
    PG_TRY();
    {
        worker->reading_source = true;
        if (pg_atomic_read_u32(&me->holds_snapshot) == 0)
            join_source(worker);
        snapshot::offer_if_wanted(worker->area, worker->connection,
                                  worker->job_slot->coordinator_latch);
        worker->reading_source = false;
        step(worker, number);
        lock_wait::end(worker->area, me);
        done = true;
    }
    PG_CATCH();
    {
        MemoryContextSwitchTo(context);
        ErrorData *error = CopyErrorData();
        if (pg_atomic_read_u32(&me->committing_elsewhere) != 0) {
            FlushErrorState();
            raise_unresolved(number, worker->request.target_table, error->message);
        }
        bool switched = search_path::may_switch(worker->area, worker->job_slot, worker->connection,
                                                worker->shape, error);
        bool lock_wait = lock_wait::is_cause(worker->connection, error);
        worker->waits_with_others = lock_wait && lock_wait::others_work(me);
        // With others at work, it is theirs: the coordinator makes the crew smaller (run/coordinator).
        worker->conflicted = retry::is_conflict(error->sqlerrcode) && !worker->reading_source &&
                             (worker->has_company || is_one_of_many(worker));
        bool again = switched || worker->waits_with_others || worker->conflicted ||
                     (retries_left > 0 && is_transient(worker, error));
        if (!again && !lock_wait)
            PG_RE_THROW();
        roll_back(context);
        if (lock_wait)
            lock_wait::explain(worker->area, me, worker->connection, error);
        if (!again)
            ReThrowError(error);
        recover_from(worker, error);
    }
    PG_END_TRY();
    return done;
}

// Does the step on the chunk, again and again within the limit. False if the crew is to become smaller and the chunk is
// left to others.
bool do_with_retries(Worker *worker, int32 number, Step step) {
    pg_atomic_write_u32(&me->chunk_retries, static_cast<uint32>(worker->retries));
    while (!try_chunk(worker, number, step, worker->request.retry_limit - worker->retries)) {
        pg_atomic_fetch_add_u32(&me->retries, 1);
        if (worker->conflicted) {
            pg_atomic_fetch_add_u32(&worker->job_slot->conflicts, 1);
            SetLatch(worker->job_slot->coordinator_latch);
            retry::back_off(conflict_delay_ms, 0);
            if (pg_atomic_read_u32(&me->retire) != 0)
                return false;
            continue;
        }
        retry::back_off(worker->request.retry_delay_ms,
                        worker->waits_with_others ? 0 : worker->retries);
        if (!worker->waits_with_others)
            worker->retries++;
        pg_atomic_write_u32(&me->chunk_retries, static_cast<uint32>(worker->retries));
    }
    worker->retries = 0;
    return true;
}

// Connects, or joins the source too, before there is anything to claim: the one to save time, the other so that nobody
// waits for a worker that cannot lock the table. Whatever else is wrong will show again with the first chunk, and is
// dealt with there. False if the lock could not be had.
bool go_ahead(Worker *worker, void (*step)(Worker *worker)) {
    MemoryContext context = CurrentMemoryContext;
    volatile bool locked = true;
    PG_TRY();
    { step(worker); }
    PG_CATCH();
    {
        MemoryContextSwitchTo(context);
        ErrorData *error = CopyErrorData();
        // Unless it is the source that says so.
        bool of_source =
            worker->connection != nullptr && worker->connection->last_error == error->sqlerrcode;
        if (!of_source && (error->sqlerrcode == ERRCODE_ADMIN_SHUTDOWN ||
                           error->sqlerrcode == ERRCODE_QUERY_CANCELED))
            PG_RE_THROW();
        FlushErrorState();
        pg::abort_transaction();
        MemoryContextSwitchTo(context);
        if (lock_wait::is_cause(worker->connection, error)) {
            locked = false;
            lock_wait::explain(worker->area, me, worker->connection, error);
        }
        FreeErrorData(error);
        leave_source(worker);
    }
    PG_END_TRY();
    MemoryContextSwitchTo(context);
    return locked;
}

bool has_chunks_left(Worker *worker) {
    return pg_atomic_read_u32(&worker->job_slot->stop) == 0 &&
           pg_atomic_read_u32(&me->retire) == 0 &&
           pg_atomic_read_u32(&worker->job_slot->next_chunk) <
               pg_atomic_read_u32(&worker->job_slot->chunks);
}

// The chunk that a terminated worker has left to this one.
bool take_leftover(Worker *worker) {
    worker->retries = me->first_retries;
    pg_atomic_write_u32(&me->chunk, static_cast<uint32>(me->first_chunk));
    pg_atomic_write_u32(&me->chunk_retries, static_cast<uint32>(worker->retries));
    pg_atomic_fetch_add_u32(&me->retries, 1);
    if (worker->retries > 1)
        retry::back_off(worker->request.retry_delay_ms, worker->retries - 2);
    return do_with_retries(worker, me->first_chunk, copy_chunk);
}

void check(Worker *worker) {
    // What a terminated worker has left to this one is a chunk to be checked, not to be copied.
    int32 chunk = me->first_chunk;
    pg_atomic_write_u32(&me->chunk, static_cast<uint32>(chunk));
    me->first_chunk = 0;
    worker->retries = me->first_retries;
    if (chunk == 0)
        chunk = claim(worker, &worker->job_slot->next_check);
    while (chunk != 0) {
        (void)do_with_retries(worker, chunk, check_chunk);
        CHECK_FOR_INTERRUPTS();
        chunk = claim(worker, &worker->job_slot->next_check);
    }
    pgstat_report_activity(STATE_IDLE, nullptr);
    SetLatch(worker->job_slot->coordinator_latch);
}

// False if it has left its chunk to others.
bool work(Worker *worker) {
    bool done = me->first_chunk == 0 || take_leftover(worker);
    // As long as others do the work.
    while (done && worker->connection == nullptr && has_chunks_left(worker) &&
           !go_ahead(worker, join_source) && lock_wait::others_work(me))
        retry::back_off(worker->request.retry_delay_ms, 0);
    while (done) {
        pg::reload_configuration();
        CHECK_FOR_INTERRUPTS();
        int32 chunk = claim(worker, &worker->job_slot->next_chunk);
        if (chunk == 0)
            break;
        done = do_with_retries(worker, chunk, copy_chunk);
    }
    pgstat_report_activity(STATE_IDLE, nullptr);
    leave_source(worker);
    return done;
}

void read_unchecked(Worker *worker) {
    job::ledger::OpenForeignKeys keys = job::ledger::read_open_foreign_keys(worker->area->job);
    worker->unchecked = static_cast<Oid *>(palloc(sizeof(Oid) * Max(keys.count, 1)));
    for (int i = 0; i < keys.count; i++) {
        if (keys.keys[i].set_aside)
            worker->unchecked[worker->unchecked_count++] = keys.keys[i].oid;
    }
}

// What holds for all of the worker's chunks.
void read_plan(Worker *worker, MemoryContext context) {
    pg::begin_transaction(worker->area->identity);
    SetConfigOption("synchronous_commit", "off", PGC_USERSET, PGC_S_SESSION);
    if (worker->request.lz4_toast)
        pg::prefer_lz4();
    pg::load_libraries(worker->request.settings);
    take_on_settings(worker->request);
    MemoryContextSwitchTo(context);
    worker->shape = job::ledger::read_shape(worker->area->job);
    worker->files = job::ledger::read_target_files(worker->area->job);
    text_because = worker->shape.text_because;
    if (worker->request.rebuild_indexes)
        read_unchecked(worker);
    if (worker->request.resumed_job != 0)
        worker->former_snapshot = job::ledger::read_former(worker->area->job).markers.snapshot;
    pg::commit_transaction();
    MemoryContextSwitchTo(context);
}

void run_worker() {
    MemoryContext context = CurrentMemoryContext;
    bool done = true;
    self.request = job::read_request(self.area);
    bool reachable = true;
    if (gate_of(&self) == job::Gate::shut) {
        (void)go_ahead(&self, connect_to_source);
        reachable = self.connection != nullptr;
    }
    job::Gate gate = wait_at_gate(&self, job::Gate::shut);
    if (gate == job::Gate::joining) {
        if (reachable)
            (void)go_ahead(&self, join_source);
        gate = wait_at_gate(&self, job::Gate::joining);
    }
    read_plan(&self, context);
    if (gate == job::Gate::checking) {
        check(&self);
        (void)wait_at_gate(&self, job::Gate::checking);
    }
    if (pg_atomic_read_u32(&self.job_slot->state) == static_cast<uint32>(job::State::indexing))
        build_indexes(self.job_slot, me, self.area, self.request);
    else
        done = work(&self);
    pg_atomic_write_u32(
        &me->outcome, static_cast<uint32>(done ? job::Outcome::finished : job::Outcome::gave_back));
    SetLatch(self.job_slot->coordinator_latch);
}

}  // namespace

bool launch_worker(job::SlotRef job, int32 number, int32 first_chunk, int32 first_retries,
                   job::SlotRef *worker, BackgroundWorkerHandle **handle) {
    if (!job::reserve_worker(job, number, first_chunk, first_retries, worker))
        return false;
    if (launch(worker_type, psprintf("%s %d", worker_type, number), "fastcopy_worker_main", *worker,
               handle))
        return true;
    job::release_worker(*worker);
    return false;
}

}  // namespace fastcopy::run

void fastcopy_worker_main(Datum argument) {
    using namespace fastcopy;
    using namespace fastcopy::run;

    pg::install_signal_handlers();
    my_ref = job::to_slot_ref(argument);
    me = job::adopt_worker(my_ref);
    if (me == nullptr)
        return;
    before_shmem_exit(leave_at_exit, 0);

    self.job_slot = job::job_slot(me->job_index);
    self.area = job::attach_area(self.job_slot->area);
    if (self.area == nullptr)
        return;
    ErrorContextCallback callback{error_context_stack, add_chunk_context, nullptr};
    error_context_stack = &callback;
    pg::Frame frame{.name = "fastcopy worker",
                    .identity = &self.area->identity,
                    .report = &self.area->error,
                    .chunk = &current_chunk,
                    .reports_terminations = false,
                    .logs_errors = &logs_errors};
    if (pg::guarded(frame, run_worker) != 0)
        pg_atomic_write_u32(&me->outcome, static_cast<uint32>(job::Outcome::failed));
}
