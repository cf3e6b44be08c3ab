#include "run/coordinator.hpp"

#include "job/ledger.hpp"
#include "pg/signals.hpp"
#include "pg/wait.hpp"
#include "run/coordinator_connection.hpp"
#include "run/definition_phase.hpp"
#include "run/foreign_keys.hpp"
#include "run/lock_wait.hpp"
#include "run/marker_wait.hpp"
#include "run/preparation.hpp"
#include "run/proof.hpp"
#include "run/sequences.hpp"
#include "run/statistics.hpp"
#include "run/sync.hpp"
#include "settings.hpp"

namespace fastcopy::run {

namespace {

job::SlotRef my_ref;
job::JobSlot *me = nullptr;
job::Area *my_area = nullptr;
RunningJob running;
constexpr int32 no_chunk = 0;

void answer(job::Area *area, job::Answer value) {
    pg_write_barrier();
    pg_atomic_write_u32(&area->answer, static_cast<uint32>(value));
    SetLatch(area->caller_latch);
}

// At exit, stop the workers and release the slot.
void release_at_exit(int, Datum) {
    pg_atomic_write_u32(&me->stop, 1);
    job::orphan_workers(my_ref);
    if (my_area != nullptr)
        job::wipe_request(my_area);
    job::release_job(my_ref);
}

// Removes chunks that turn out to be done from what a worker has left, and counts them: it may have
// been terminated between the commit and the count, or before it saw that a former run of the job
// had done, and counted, the chunk. Chunks that one transaction commits are done together, and
// others in order; so none beyond the first that is not done remains to be counted.
void drop_done(RunningJob *job, Leftover *leftover) {
    job::ClaimedChunks *left = &leftover->claim;
    for (; left->count > 0; left->first++, left->count--) {
        plan::Chunk chunk = job::ledger::read_chunk(job->area->job, left->first);
        if (!chunk.done && leftover->unresolved)
            raise_unresolved(chunk.number, job->request.tables[chunk.table - 1].target_table,
                             "a worker was terminated");
        if (!chunk.done)
            break;
        leftover->unresolved = false;
        leftover->retries = 0;
        if (bms_is_member(chunk.number, job->done_before))
            continue;
        pg_atomic_fetch_add_u64(&me->rows, static_cast<int64>(chunk.rows_sent));
        pg_atomic_fetch_add_u64(&me->bytes, static_cast<int64>(chunk.bytes));
        pg_atomic_fetch_add_u32(&me->chunks_done, 1);
    }
    leftover->looked_up = true;
}

// Does so once for each: a chunk does not become done until another worker takes it, which may be
// hours later.
void count_done_leftovers(RunningJob *job) {
    Crew *crew = &job->crew;
    bool any = false;
    for (int i = 0; i < crew->leftover_count; i++)
        any = any || !crew->leftovers[i].looked_up;
    if (!any)
        return;
    MemoryContext context = CurrentMemoryContext;
    pg::begin_ledger_transaction();
    for (int i = crew->leftover_count - 1; i >= 0; i--) {
        if (crew->leftovers[i].looked_up)
            continue;
        drop_done(job, &crew->leftovers[i]);
        if (crew->leftovers[i].claim.count == 0)
            crew->leftovers[i] = crew->leftovers[--crew->leftover_count];
    }
    pg::commit_transaction();
    MemoryContextSwitchTo(context);
    SetLatch(MyLatch);  // a wait for a lock may have reset it
}

// The number of chunks that no worker has claimed, without those that were given back.
int unclaimed(const RunningJob *job) {
    return Max(job->chunks - static_cast<int>(pg_atomic_read_u32(&me->next_chunk)), 0);
}

// Halves the crew when conflicts recur: triggers of the target can lock rows in any order, so that
// workers deadlock with each other. A single worker cannot. set_workers can raise the number again.
void ease_conflicts(RunningJob *job, uint32 *seen) {
    constexpr uint32 by_chance = 1;
    uint32 conflicts = pg_atomic_read_u32(&me->conflicts);
    uint32 wanted = pg_atomic_read_u32(&me->workers_wanted);
    if (conflicts <= Max(*seen, by_chance) || wanted <= 1)
        return;
    *seen = conflicts;
    uint32 fewer = Min(wanted, static_cast<uint32>(Max(active(&job->crew), 2))) / 2;
    if (!pg_atomic_compare_exchange_u32(&me->workers_wanted, &wanted, fewer))
        return;
    shrink(&job->crew, static_cast<int>(fewer));
    const char *notice = psprintf(
        "%u deadlocks or serialization failures between workers: the job "
        "continues with %u of %d",
        conflicts, fewer, job->request.workers);
    ereport(LOG, (errmsg("fastcopy job " INT64_FORMAT ": %s", job->area->job, notice)));
    MemoryContext context = CurrentMemoryContext;
    pg::begin_ledger_transaction();
    job::ledger::write_notice(job->area->job, "crew", notice);
    pg::commit_transaction();
    MemoryContextSwitchTo(context);
    SetLatch(MyLatch);  // likewise
}

void watch(RunningJob *job) {
    uint32 conflicts = 0;
    for (;;) {
        // Before all else: it waits for the source's answer, which may reset a latch that was set
        // for what follows.
        if (marker_wait::is_pending(job))
            survive_loss(job, marker_wait::look);
        check_cancel(job);
        pg::reload_configuration();
        collect(&job->crew);
        raise_if_failed(job);
        count_done_leftovers(job);
        ease_conflicts(job, &conflicts);

        int wanted = static_cast<int>(pg_atomic_read_u32(&me->workers_wanted));
        int unclaimed_now = unclaimed(job);
        int left = job->crew.leftover_count + unclaimed_now;
        if (left == 0 && has_finished(&job->crew))
            return;  // the ledger decides whether all chunks are done
        if (left > 0) {
            int now = active(&job->crew);
            if (now > wanted)
                shrink(&job->crew, wanted);
            else if (now < wanted && job->connection != nullptr)
                (void)grow(&job->crew, Min(wanted, now + job->crew.leftover_count +
                                                       Max(unclaimed_now - idle(&job->crew), 0)));
            if (job->crew.count == 0 && job->connection != nullptr)
                pg::raise_no_worker_slot();
        }
        wait_for_news(job);
    }
}

// Waits for workers that have finished to exit, which they do during the job's last steps.
void wait_until_gone(RunningJob *job) {
    for (;;) {
        check_cancel(job);
        collect(&job->crew);
        raise_if_failed(job);
        if (job->crew.count == 0)
            return;
        (void)pg::wait_latch();
    }
}

// Ends the job as done, if it is.
void finish(RunningJob *job) {
    pg::begin_ledger_transaction();
    proof::check_all(job);
    job::ledger::end_job(job->area->job, job::State::done, nullptr);
    job::ledger::prune_jobs(settings::keep_jobs_minutes);
    pg::commit_transaction();
    move_to(job, job::State::done);
}

// Whether statistics come from the source: see run/dump.
bool takes_statistics_over(RunningJob *job) {
    if (!job->request.create)
        return false;
    pg::begin_ledger_transaction();
    bool has = job::ledger::has_stage(job->area->job, job::Stage::statistics);
    pg::commit_transaction();
    return has;
}

void run_job(RunningJob *job) {
    prepare(job);
    if (job->nothing_new) {
        source::close(job->connection);
        job->connection = nullptr;
        pg::begin_ledger_transaction();
        sync::give_up_turn(job);
        pg::commit_transaction();
        return answer(job->area, job::Answer::ready);
    }
    move_to(job, job::State::copying);
    move_gate(job, job::Gate::open);
    answer(job->area, job::Answer::ready);
    watch(job);
    lock_wait::forget(job->area);
    if (job->connection != nullptr)
        source::close(job->connection);
    job->connection = nullptr;
    make_definitions(job, job::Stage::attachments);
    // Before foreign keys are checked: these queries need a plan.
    if (job->request.statistics && !takes_statistics_over(job))
        analyze_targets(job);
    make_definitions(job, job::Stage::validations);
    check_foreign_keys(job);
    make_definitions(job, job::Stage::rest);
    // Those of a created database have the source's values.
    if (job->request.sequences && !job->request.create)
        move_sequences(job);
    wait_until_gone(job);
    finish(job);
}

// Adds to the job's error that indexes of the target are still set aside.
void report_indexes_aside(RunningJob *job) {
    if (pg_atomic_read_u32(&me->definitions_done) >= pg_atomic_read_u32(&me->definitions) ||
        job->request.create)
        return;
    pg::ErrorReport *error = &job->area->error;
    if (error->hint[0] == '\0')
        snprintf(error->hint, sizeof(error->hint),
                 "Indexes of the target are still set aside: finish the job with "
                 "fastcopy.resume(" INT64_FORMAT "), or build them with REINDEX TABLE.",
                 job->area->job);
    ereport(LOG, (errmsg("fastcopy job " INT64_FORMAT " has left indexes of %s set aside",
                         job->area->job, job::name_of_targets(job->request))));
}

// Looks for a chunk of a dismissed worker that other servers may have stored: its error takes
// precedence over the error that has ended the job. Returns that error, or nullptr.
pg::ErrorReport *find_unresolved(RunningJob *job) {
    static pg::ErrorReport report;
    MemoryContext context = CurrentMemoryContext;
    pg::init(&report);
    PG_TRY();
    { count_done_leftovers(job); }
    PG_CATCH();
    {
        MemoryContextSwitchTo(context);
        ErrorData *error = CopyErrorData();
        if (error->sqlerrcode != ERRCODE_TRANSACTION_RESOLUTION_UNKNOWN)
            PG_RE_THROW();
        FlushErrorState();
        pg::abort_transaction();
        MemoryContextSwitchTo(context);
        pg::record(&report, error, no_chunk);
    }
    PG_END_TRY();
    return pg::is_complete(&report) ? &report : nullptr;
}

// Ends a job that has failed. Runs outside of a transaction.
void fail(RunningJob *job, int sqlerrcode) {
    // From here on, a cancel could only keep the end state from being written.
    pg::ignore_signal(SIGINT);
    QueryCancelPending = false;
    pg_atomic_write_u32(&me->stop, 1);
    dismiss(&job->crew);
    if (!job->in_ledger)
        return answer(job->area, job::Answer::failed);
    pg::ErrorReport *error = find_unresolved(job);
    bool cancelled = error == nullptr && sqlerrcode == ERRCODE_QUERY_CANCELED &&
                     job->area->error.chunk == no_chunk;
    if (error == nullptr)
        error = &job->area->error;
    report_indexes_aside(job);
    job::State state = cancelled ? job::State::cancelled : job::State::failed;
    pg::begin_ledger_transaction();
    job::ledger::end_job(job->area->job, state, cancelled ? nullptr : error);
    pg::commit_transaction();
    pg::heed_cancels();
    keep_aside_after_failure(job);
    move_to(job, state);
}

// Like fail(). If the ledger cannot be written, the job reads `interrupted`.
void fail_or_leave(int sqlerrcode) {
    PG_TRY();
    { fail(&running, sqlerrcode); }
    PG_CATCH();
    {
        EmitErrorReport();
        FlushErrorState();
        pg::abort_transaction();
    }
    PG_END_TRY();
}

void run_coordinator() {
    running.request = job::read_request(running.area);
    running.crew = make_crew(my_ref);
    run_job(&running);
}

}  // namespace

void raise_cancelled() {
    ereport(ERROR, (errcode(ERRCODE_QUERY_CANCELED), errmsg("canceling job due to user request")));
}

void move_to(RunningJob *job, job::State state) {
    auto now = static_cast<job::State>(pg_atomic_read_u32(&job->slot->state));
    if (!job::may_move(now, state))
        elog(ERROR, "fastcopy job cannot move from %s to %s", job::name_of(now),
             job::name_of(state));
    pg_atomic_write_u32(&job->slot->state, static_cast<uint32>(state));
}

void move_gate(RunningJob *job, job::Gate gate) {
    pg_write_barrier();
    pg_atomic_write_u32(&job->area->gate, static_cast<uint32>(gate));
    wake(&job->crew);
}

void check_cancel(RunningJob *job) {
    CHECK_FOR_INTERRUPTS();
    if (pg_atomic_read_u32(&job->slot->cancel) == static_cast<uint32>(job::Cancel::requested))
        raise_cancelled();
}

void raise_if_failed(RunningJob *job) {
    const Crew &crew = job->crew;
    if (pg::is_complete(&job->area->error))
        pg::raise(&job->area->error, ERROR);
    bool too_often = crew.idle_deaths > job->request.retry_limit;
    for (int i = 0; i < crew.leftover_count; i++)
        too_often = too_often || crew.leftovers[i].retries > job->request.retry_limit;
    if (crew.failed || too_often)
        ereport(
            ERROR,
            (errcode(ERRCODE_OPERATOR_INTERVENTION), errmsg("a fastcopy worker was terminated"),
             too_often ? errdetail("It was replaced as often as fastcopy.retry_limit allows.") : 0,
             errhint("The server log may say why.")));
}

bool launch_coordinator(job::SlotRef job, BackgroundWorkerHandle **handle) {
    return launch(coordinator_type, coordinator_type, "fastcopy_coordinator_main", job, handle);
}

}  // namespace fastcopy::run

void fastcopy_coordinator_main(Datum argument) {
    using namespace fastcopy;
    using namespace fastcopy::run;

    pg::install_signal_handlers();
    my_ref = job::to_slot_ref(argument);
    me = job::adopt_job(my_ref);
    if (me == nullptr)
        return;
    before_shmem_exit(release_at_exit, 0);

    running.slot = me;
    running.area = job::attach_area(me->area);
    if (running.area == nullptr)
        return;
    my_area = running.area;
    pg::Frame frame{.name = "fastcopy coordinator",
                    .identity = &my_area->identity,
                    .report = &my_area->error,
                    .chunk = &no_chunk,
                    .reports_terminations = true,
                    .logs_errors = &running.in_ledger};
    int sqlerrcode;
    if (!pg::guarded(frame, run_coordinator, &sqlerrcode))
        fail_or_leave(sqlerrcode);
}
