#include "run/worker.hpp"

#include "job/ledger.hpp"
#include "pg/toast.hpp"
#include "pg/wait.hpp"
#include "run/chunk_copy.hpp"
#include "run/chunk_retry.hpp"
#include "run/definition_maker.hpp"
#include "run/foreign_keys.hpp"
#include "run/lock_wait.hpp"
#include "run/retry.hpp"
#include "run/snapshot.hpp"
#include "run/statistics.hpp"

namespace fastcopy::run {

namespace {

// This process.
Worker self{};
constexpr bool logs_errors = true;

void add_chunk_context(void *) {
    if (self.range != nullptr)
        errcontext("fastcopy chunk %d: %s", self.chunk, self.range);
    if (self.range != nullptr && self.request.clone)
        errcontext("table %s", self.table.target_table);
    // PostgreSQL reports a value that is too large with any of these codes.
    int code = geterrcode();
    if (self.shape.text_because != nullptr && self.range != nullptr &&
        (code == ERRCODE_PROGRAM_LIMIT_EXCEEDED || code == ERRCODE_INTERNAL_ERROR ||
         code == ERRCODE_OUT_OF_MEMORY))
        errcontext(
            "rows are sent as text, in which a value can take twice as much as in binary, "
            "because of the type of column \"%s\"",
            self.shape.text_because);
}

void leave_at_exit(int, Datum) {
    job::leave_worker(self.ref);
}

job::Gate gate_of(Worker *worker) {
    return static_cast<job::Gate>(pg_atomic_read_u32(&worker->area->gate));
}

// Waits until the coordinator has moved the gate. A coordinator that fails ends its workers.
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

// How many chunks to claim at a time of so many small ones that are left: fewer in the end, so that
// all workers finish at the same time.
uint32 share_of(Worker *worker, uint32 left) {
    uint32 workers = Max(pg_atomic_read_u32(&worker->job_slot->workers_wanted), 1);
    return Min(Max(left / (2 * workers), 1), static_cast<uint32>(job::most_claimed));
}

// Claims the next chunk by that counter, or several if they are small. False if no chunk is left for
// this worker. Interrupts are processed neither before the claim is in the slot, nor before an exit
// would find it there.
bool claim(Worker *worker, pg_atomic_uint32 *counter, uint32 small_from) {
    if (pg_atomic_read_u32(&worker->job_slot->stop) != 0 ||
        pg_atomic_read_u32(&worker->slot->retire) != 0)
        return false;
    uint32 all = pg_atomic_read_u32(&worker->job_slot->chunks);
    uint32 next = pg_atomic_read_u32(counter);
    uint32 count;
    do {
        if (next >= all)
            return false;
        count = next >= small_from ? share_of(worker, all - next) : 1;
    } while (!pg_atomic_compare_exchange_u32(counter, &next, next + count));
    job::write_claim(worker->slot,
                     job::ClaimedChunks{static_cast<int32>(next) + 1, static_cast<int32>(count)});
    return true;
}

bool claim_to_copy(Worker *worker) {
    return claim(worker, &worker->job_slot->next_chunk,
                 pg_atomic_read_u32(&worker->job_slot->small_from));
}

bool claim_to_check(Worker *worker) {
    return claim(worker, &worker->job_slot->next_check, PG_UINT32_MAX);
}

bool has_chunks_left(Worker *worker) {
    return pg_atomic_read_u32(&worker->job_slot->stop) == 0 &&
           pg_atomic_read_u32(&worker->slot->retire) == 0 &&
           pg_atomic_read_u32(&worker->job_slot->next_chunk) <
               pg_atomic_read_u32(&worker->job_slot->chunks);
}

// Copies the chunks of the claim one by one. False if the worker gives the rest back.
bool copy_one_by_one(Worker *worker) {
    for (;;) {
        job::ClaimedChunks left = job::read_claim(worker->slot);
        if (left.count == 0)
            return true;
        if (!do_with_retries(worker, left.first, copy_chunk))
            return false;
        CHECK_FOR_INTERRUPTS();
        if (pg_atomic_read_u32(&worker->slot->retire) != 0)
            return job::read_claim(worker->slot).count == 0;
    }
}

bool copy_claimed(Worker *worker) {
    if (job::read_claim(worker->slot).count > 1 && try_at_once(worker))
        return true;
    return copy_one_by_one(worker);
}

// Copies the chunks that a terminated worker has left undone.
bool take_leftover(Worker *worker) {
    worker->retries = static_cast<int>(pg_atomic_read_u32(&worker->slot->chunk_retries));
    pg_atomic_write_u32(&worker->slot->chunk,
                        static_cast<uint32>(job::read_claim(worker->slot).first));
    pg_atomic_fetch_add_u32(&worker->slot->retries, 1);
    if (worker->retries > 1)
        retry::back_off(worker->request.retry_delay_ms, worker->retries - 2);
    return copy_one_by_one(worker);
}

// Checks chunks of a job that is to be resumed until none is left.
void check(Worker *worker) {
    // A chunk that a terminated worker has left undone is to be checked, not copied.
    worker->retries = static_cast<int>(pg_atomic_read_u32(&worker->slot->chunk_retries));
    while (job::read_claim(worker->slot).count > 0 || claim_to_check(worker)) {
        (void)do_with_retries(worker, job::read_claim(worker->slot).first, check_chunk);
        CHECK_FOR_INTERRUPTS();
    }
    pgstat_report_activity(STATE_IDLE, nullptr);
    SetLatch(worker->job_slot->coordinator_latch);
}

// Whether the table of the last chunk is complete, and has indexes or constraints that may be made
// while other workers copy. Those of small tables wait: they take no time.
bool has_definitions_to_make(Worker *worker) {
    // A worker that may have to hand the snapshot over stays with the source.
    if (!worker->request.create || worker->table_chunks <= 1 || !has_chunks_left(worker) ||
        snapshot::custody(worker->area) != snapshot::Custody::held)
        return false;
    pg::begin_ledger_transaction();
    bool found = job::ledger::has_definition_to_claim(worker->area->job, job::Stage::tables,
                                                      worker->table_number);
    pg::commit_transaction();
    return found;
}

// Makes them, as long as there are chunks that this worker could go on with. The source is left
// meanwhile: an index may take hours.
void make_early_definitions(Worker *worker) {
    if (!has_definitions_to_make(worker))
        return;
    int32 table = worker->table_number;
    leave_source(worker);
    while (has_chunks_left(worker) &&
           make_definition_of(worker->job_slot, worker->slot, worker->area, worker->request, table))
        CHECK_FOR_INTERRUPTS();
}

// Copies chunks until none is left. False if the worker has given chunks back.
bool work(Worker *worker) {
    bool done = job::read_claim(worker->slot).count == 0 || take_leftover(worker);
    // Claim nothing before the lock is held, as long as other workers make progress.
    while (done && worker->connection == nullptr && has_chunks_left(worker) &&
           !try_to_join(worker, join_source) && lock_wait::others_work(worker->slot))
        retry::back_off(worker->request.retry_delay_ms, 0);
    while (done) {
        pg::reload_configuration();
        CHECK_FOR_INTERRUPTS();
        if (!claim_to_copy(worker))
            break;
        done = copy_claimed(worker);
        if (done)
            make_early_definitions(worker);
    }
    pgstat_report_activity(STATE_IDLE, nullptr);
    leave_source(worker);
    lock_wait::end(worker->area, worker->slot);
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

// Reads what all chunks of the job have in common.
void read_plan(Worker *worker, MemoryContext context) {
    pg::begin_transaction(worker->area->identity);
    SetConfigOption("synchronous_commit", "off", PGC_USERSET, PGC_S_SESSION);
    if (worker->request.lz4_toast)
        pg::prefer_lz4();
    pg::load_libraries(worker->request.settings);
    take_on_settings(worker->request);
    MemoryContextSwitchTo(context);
    if (sets_foreign_keys_aside(worker->request))
        read_unchecked(worker);
    if (worker->request.resumed_job != 0)
        worker->former_snapshot = job::ledger::read_source_snapshot(worker->area->job);
    pg::commit_transaction();
    MemoryContextSwitchTo(context);
}

void run_worker() {
    MemoryContext context = CurrentMemoryContext;
    bool done = true;
    self.request = job::read_request(self.area);
    bool reachable = true;
    if (gate_of(&self) == job::Gate::shut) {
        (void)try_to_join(&self, connect_to_source);
        reachable = self.connection != nullptr;
    }
    job::Gate gate = wait_at_gate(&self, job::Gate::shut);
    if (gate == job::Gate::joining) {
        if (reachable)
            (void)try_to_join(&self, join_source);
        gate = wait_at_gate(&self, job::Gate::joining);
    }
    read_plan(&self, context);
    if (gate == job::Gate::checking) {
        check(&self);
        (void)wait_at_gate(&self, job::Gate::checking);
    }
    if (pg_atomic_read_u32(&self.job_slot->leaves) > 0)
        analyze_leaves(self.job_slot, self.area, self.request);
    else if (pg_atomic_read_u32(&self.job_slot->state) == static_cast<uint32>(job::State::indexing))
        make_definitions(self.job_slot, self.slot, self.area, self.request);
    else
        done = work(&self);
    pg_atomic_write_u32(&self.slot->outcome, static_cast<uint32>(done ? job::Outcome::finished
                                                                      : job::Outcome::gave_back));
    SetLatch(self.job_slot->coordinator_latch);
}

}  // namespace

bool launch_worker(job::SlotRef job, int32 number, job::ClaimedChunks claim, int32 retries,
                   job::SlotRef *worker, BackgroundWorkerHandle **handle) {
    if (!job::reserve_worker(job, number, claim, retries, worker))
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
    self.ref = job::to_slot_ref(argument);
    self.slot = job::adopt_worker(self.ref);
    if (self.slot == nullptr)
        return;
    before_shmem_exit(leave_at_exit, 0);

    self.job_slot = job::job_slot(self.slot->job_index);
    self.area = job::attach_area(self.job_slot->area);
    if (self.area == nullptr)
        return;
    ErrorContextCallback callback{error_context_stack, add_chunk_context, nullptr};
    error_context_stack = &callback;
    pg::Frame frame{.name = "fastcopy worker",
                    .identity = &self.area->identity,
                    .report = &self.area->error,
                    .chunk = &self.chunk,
                    .reports_terminations = false,
                    .logs_errors = &logs_errors};
    int sqlerrcode;
    if (!pg::guarded(frame, run_worker, &sqlerrcode))
        pg_atomic_write_u32(&self.slot->outcome, static_cast<uint32>(job::Outcome::failed));
}
