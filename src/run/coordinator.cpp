#include "run/coordinator.hpp"

#include "job/ledger.hpp"
#include "pg/signals.hpp"
#include "pg/wait.hpp"
#include "run/foreign_keys.hpp"
#include "run/marker_wait.hpp"
#include "run/preparation.hpp"
#include "run/proof.hpp"
#include "run/retry.hpp"
#include "run/sequences.hpp"
#include "run/snapshot.hpp"
#include "sink/local_sql.hpp"

namespace fastcopy::run {

namespace {

job::SlotRef my_ref;
job::JobSlot *me = nullptr;
job::Area *my_area = nullptr;
RunningJob running;
constexpr int32 no_chunk = 0;

// The only way a job's live state changes.
void move_to(job::State state) {
    auto now = static_cast<job::State>(pg_atomic_read_u32(&me->state));
    if (!job::may_move(now, state))
        elog(ERROR, "fastcopy job cannot move from %s to %s", job::name_of(now),
             job::name_of(state));
    pg_atomic_write_u32(&me->state, static_cast<uint32>(state));
}

void answer(job::Area *area, job::Answer value) {
    pg_write_barrier();
    pg_atomic_write_u32(&area->answer, static_cast<uint32>(value));
    SetLatch(area->caller_latch);
}

// Whatever ends this process, its workers go too, and the slot is free.
void release_at_exit(int, Datum) {
    pg_atomic_write_u32(&me->stop, 1);
    job::orphan_workers(my_ref);
    if (my_area != nullptr)
        job::wipe_request(my_area);
    job::release_job(my_ref);
}

// Closes the connection to the source, and asks a worker to export the snapshot again.
void give_up_connection(RunningJob *job, ErrorData *why) {
    pg::report_caught(
        LOG, why,
        psprintf("fastcopy job " INT64_FORMAT " has lost its coordinator's connection",
                 job->area->job));
    if (job->connection != nullptr)
        source::close(job->connection);
    job->connection = nullptr;
    job->loss = why;
    job->losses++;
    snapshot::want(job->area);
}

// Whether the job may go on after the loss of another connection. One that makes progress always may.
bool may_lose_connection(RunningJob *job) {
    uint32 done = pg_atomic_read_u32(&me->chunks_done);
    if (done != job->done_at_loss)
        job->losses = 0;
    job->done_at_loss = done;
    return job->losses < job->request.retry_limit;
}

// Runs a step that talks to the source. On a transient error, gives up the connection.
void survive_loss(RunningJob *job, void (*step)(RunningJob *job)) {
    MemoryContext context = CurrentMemoryContext;
    PG_TRY();
    { step(job); }
    PG_CATCH();
    {
        MemoryContextSwitchTo(TopMemoryContext);
        ErrorData *error = CopyErrorData();
        if (!retry::may_pass(error->sqlerrcode) || !may_lose_connection(job))
            PG_RE_THROW();
        FlushErrorState();
        pg::abort_transaction();  // if it was the ledger's, of what the source has answered
        MemoryContextSwitchTo(context);
        give_up_connection(job, error);
    }
    PG_END_TRY();
}

// A worker was told by the source that our session there is over.
void accept_loss(RunningJob *job) {
    MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);
    auto *error = static_cast<ErrorData *>(palloc0(sizeof(ErrorData)));
    error->sqlerrcode = ERRCODE_CONNECTION_FAILURE;
    error->message = pstrdup("the source no longer has the snapshot of the job");
    MemoryContextSwitchTo(old);
    if (!may_lose_connection(job))
        ereport(ERROR,
                (errcode(error->sqlerrcode), errmsg_internal("%s", error->message),
                 errhint("If the source is behind a load balancer, connect to one server.")));
    give_up_connection(job, error);
}

// Whether any worker's connection has the snapshot.
bool crew_holds_snapshot(RunningJob *job) {
    for (int i = 0; i < job->crew.count; i++) {
        job::WorkerSlot *slot = job::worker_slot(job->crew.members[i].slot.index);
        if (pg_atomic_read_u32(&slot->holds_snapshot) != 0)
            return true;
    }
    return false;
}

// Takes the snapshot over, once a worker has offered it.
void recover(RunningJob *job) {
    if (job->losses > 1)
        retry::back_off(job->request.retry_delay_ms, job->losses - 2);
    job->connection = connect_coordinator(job);
    snapshot::take_over(job->area, job->connection);
}

// Waits for the latch, or for the loss of the connection to the source.
void listen_to_source(RunningJob *job) {
    source::listen(job->connection, marker_wait::is_pending(job) ? marker_wait::look_every_ms : -1);
}

// Waits for something to do, with or without a connection to the source.
void wait_for_news(RunningJob *job) {
    if (job->connection != nullptr && snapshot::custody(job->area) == snapshot::Custody::wanted)
        accept_loss(job);
    if (job->connection != nullptr)
        return survive_loss(job, listen_to_source);
    if (snapshot::custody(job->area) == snapshot::Custody::offered)
        return survive_loss(job, recover);
    if (!crew_holds_snapshot(job) &&
        pg_atomic_read_u32(&me->chunks_done) < static_cast<uint32>(job->chunks))
        ereport(ERROR,
                (errcode(job->loss->sqlerrcode), errmsg_internal("%s", job->loss->message),
                 errdetail("%s%sNo connection is left that holds the snapshot of the source.",
                           job->loss->detail != nullptr ? job->loss->detail : "",
                           job->loss->detail != nullptr ? "\n" : ""),
                 errhint("Chunks that are done stay in the target: fastcopy.resume(" INT64_FORMAT
                         ") copies the others.",
                         job->area->job)));
    // Nobody tells when the last worker loses its connection: look often.
    (void)pg::wait_latch(200);
}

// A worker may have been terminated between the commit of its chunk and its counting, or before it saw that the
// chunk was done by a former run of the job, which counted it. A chunk whose worker has gone does not become done
// until another takes it, which may be hours later.
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
        plan::Chunk chunk = job::ledger::read_chunk(job->area->job, crew->leftovers[i].chunk);
        if (!chunk.done && crew->leftovers[i].unresolved)
            raise_unresolved(chunk.number, job->request.target_table, "a worker was terminated");
        crew->leftovers[i].looked_up = true;
        if (!chunk.done)
            continue;
        crew->leftovers[i] = crew->leftovers[--crew->leftover_count];
        if (bms_is_member(chunk.number, job->done_before))
            continue;
        pg_atomic_fetch_add_u64(&me->rows, static_cast<int64>(chunk.rows_sent));
        pg_atomic_fetch_add_u64(&me->bytes, static_cast<int64>(chunk.bytes));
        pg_atomic_fetch_add_u32(&me->chunks_done, 1);
    }
    pg::commit_transaction();
    MemoryContextSwitchTo(context);
    SetLatch(MyLatch);  // a wait for a lock may have reset it
}

// How many chunks nobody has claimed yet, apart from those that are given back.
int unclaimed(const RunningJob *job) {
    return Max(job->chunks - static_cast<int>(pg_atomic_read_u32(&me->next_chunk)), 0);
}

// Triggers of the target can make workers wait for each other's locks, in any order. When that comes back, fewer of
// them are better, and one is never in its own way. set_workers can raise the number again.
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
        "%u deadlocks or serialization failures between workers: it goes "
        "on with %u of %d",
        conflicts, fewer, job->request.workers);
    ereport(LOG, (errmsg("fastcopy job " INT64_FORMAT ": %s", job->area->job, notice)));
    MemoryContext context = CurrentMemoryContext;
    pg::begin_ledger_transaction();
    job::ledger::write_crew_notice(job->area->job, notice);
    pg::commit_transaction();
    MemoryContextSwitchTo(context);
    SetLatch(MyLatch);  // as above
}

void watch(RunningJob *job) {
    uint32 conflicts = 0;
    for (;;) {
        // First: it waits for the source's answer, and what sets the latch meanwhile has to be looked at below.
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
            return;  // whether all chunks are done is for the ledger to say
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

// Runs ANALYZE as the job's role; without the privilege PostgreSQL emits its usual WARNING. The table may have
// been dropped by now.
void analyze_target(RunningJob *job) {
    pg::begin_transaction(job->area->identity);
    take_on_settings(job->request);
    Relation target = try_table_open(job->request.target, ShareUpdateExclusiveLock);
    if (target != nullptr) {
        if (target->rd_rel->relkind != RELKIND_VIEW)
            sink::run_local(psprintf("ANALYZE %s", sink::quoted_relation(job->request.target)));
        table_close(target, NoLock);
    }
    pg::commit_transaction();
}

// Logs ANALYZE errors but does not fail the job: the rows are in. A cancel is no such error.
void try_to_analyze(RunningJob *job) {
    MemoryContext context = CurrentMemoryContext;
    PG_TRY();
    { analyze_target(job); }
    PG_CATCH();
    {
        MemoryContextSwitchTo(context);
        ErrorData *error = CopyErrorData();
        if (error->sqlerrcode == ERRCODE_QUERY_CANCELED)
            PG_RE_THROW();
        FlushErrorState();
        pg::abort_transaction();
        MemoryContextSwitchTo(context);
        pg::report_caught(WARNING, error,
                          psprintf("fastcopy job " INT64_FORMAT " could not analyze %s",
                                   job->area->job, job->request.target_table));
        FreeErrorData(error);
    }
    PG_END_TRY();
}

// Workers that had finished take their time to exit, in which the job's last steps were done.
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
    pg::commit_transaction();
    move_to(job::State::done);
}

// By the ledger: a worker may have been terminated between the commit of its index and its counting.
int count_indexes_done(RunningJob *job) {
    pg::begin_ledger_transaction();
    int done = job::ledger::read_former(job->area->job).indexes_done;
    pg::commit_transaction();
    pg_atomic_write_u32(&me->indexes_done, static_cast<uint32>(done));
    return done;
}

// Has as many workers build indexes as are wanted, as long as there are indexes that nobody has claimed.
void staff_index_builds(RunningJob *job) {
    auto indexes = static_cast<int>(pg_atomic_read_u32(&me->indexes));
    auto claimed = static_cast<int>(pg_atomic_read_u32(&me->next_index));
    int wanted = static_cast<int>(pg_atomic_read_u32(&me->workers_wanted));
    int now = active(&job->crew);
    if (now > wanted)
        shrink(&job->crew, wanted);
    else if (now < wanted && claimed < indexes)
        (void)grow(&job->crew, Min(wanted, now + indexes - claimed));
}

// Builds what was set aside. When workers have exited without an outcome, the next ones look at all indexes
// again, and skip those that are built.
void build_indexes(RunningJob *job) {
    auto indexes = static_cast<int>(pg_atomic_read_u32(&me->indexes));
    pg::begin_ledger_transaction();
    job::ledger::begin_indexing(job->area->job);
    pg::commit_transaction();
    move_to(job::State::indexing);
    for (;;) {
        check_cancel(job);
        pg::reload_configuration();
        collect(&job->crew);
        raise_if_failed(job);
        if (job->crew.count == 0) {
            if (count_indexes_done(job) >= indexes)
                return;
            pg_atomic_write_u32(&me->next_index, 0);
        }
        staff_index_builds(job);
        if (job->crew.count == 0)
            pg::raise_no_worker_slot();
        (void)pg::wait_latch();
    }
}

void run_job(RunningJob *job) {
    prepare(job);
    move_to(job::State::copying);
    pg_write_barrier();
    pg_atomic_write_u32(&job->area->gate, static_cast<uint32>(job::Gate::open));
    wake(&job->crew);
    answer(job->area, job::Answer::ready);
    watch(job);
    if (job->connection != nullptr)
        source::close(job->connection);
    job->connection = nullptr;
    if (pg_atomic_read_u32(&me->indexes) > 0)
        build_indexes(job);
    check_foreign_keys(job);
    if (job->request.statistics)
        try_to_analyze(job);
    if (job->request.sequences)
        move_sequences(job);
    wait_until_gone(job);
    finish(job);
}

// Who reads of the failure must not overlook that the target has no indexes.
void tell_of_indexes(RunningJob *job) {
    if (pg_atomic_read_u32(&me->indexes_done) >= pg_atomic_read_u32(&me->indexes))
        return;
    pg::ErrorReport *error = &job->area->error;
    if (error->hint[0] == '\0')
        snprintf(error->hint, sizeof(error->hint),
                 "Indexes of the target are still set aside: finish the job with "
                 "fastcopy.resume(" INT64_FORMAT "), or build them with REINDEX TABLE.",
                 job->area->job);
    ereport(LOG, (errmsg("fastcopy job " INT64_FORMAT " has left indexes of %s set aside",
                         job->area->job, job->request.target_table)));
}

// Whether a worker that was told to go has left a chunk that other servers may have stored. The job's owner must know of
// that, whatever has ended the job. Returns the error, or nullptr.
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

// The job's end when something has failed. Runs outside of any transaction.
void fail(RunningJob *job, int sqlerrcode) {
    // From here on there is nothing left to cancel, only an end to be written down.
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
    tell_of_indexes(job);
    keep_aside_after_failure(job);
    job::State state = cancelled ? job::State::cancelled : job::State::failed;
    pg::begin_ledger_transaction();
    job::ledger::end_job(job->area->job, state, cancelled ? nullptr : error);
    pg::commit_transaction();
    move_to(state);
}

// The same. If the ledger cannot be written, it says that the job runs; as nobody owns it, it reads `interrupted`.
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

source::Connection *connect_coordinator(RunningJob *job) {
    MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);
    source::Connection *connection = source::connect(
        job->request, psprintf("fastcopy job " INT64_FORMAT " coordinator", job->area->job));
    MemoryContextSwitchTo(old);
    return connection;
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
    if (int failure = pg::guarded(frame, run_coordinator); failure != 0)
        fail_or_leave(failure);
}
