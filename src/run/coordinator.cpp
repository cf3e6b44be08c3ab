#include "run/coordinator.hpp"

#include <signal.h>

#include "job/ledger.hpp"
#include "plan/planner.hpp"
#include "plan/row_shape.hpp"
#include "plan/source_table.hpp"
#include "run/crew.hpp"
#include "run/retry.hpp"
#include "run/snapshot.hpp"
#include "sink/target.hpp"
#include "source/connection.hpp"

namespace fastcopy::run {

namespace {

job::SlotRef my_ref;
job::JobSlot *me = nullptr;
job::Area *my_area = nullptr;
bool in_ledger = false;
constexpr int32 no_chunk = 0;

struct Coordinator {
    job::Area *area;
    job::Request request;
    source::Connection *connection;  // nullptr while it is lost
    ErrorData *loss;                 // why it was lost, last
    int losses;
    Crew crew;
    TimestampTz started_at;
    int chunks;
};

void check_cancel() {
    CHECK_FOR_INTERRUPTS();
    if (pg_atomic_read_u32(&me->cancel) != 0)
        ereport(ERROR,
                (errcode(ERRCODE_QUERY_CANCELED), errmsg("canceling job due to user request")));
}

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

char *quoted_target(Oid relid) {
    return quote_qualified_identifier(get_namespace_name(get_rel_namespace(relid)),
                                      get_rel_name(relid));
}

// Runs a statement on the target as the job's role.
void run_local(const char *sql) {
    if (SPI_connect() != SPI_OK_CONNECT)
        elog(ERROR, "SPI_connect failed");
    int result = SPI_execute(sql, false, 0);
    if (result < 0)
        elog(ERROR, "%s: %s", sql, SPI_result_code_string(result));
    SPI_finish();
}

// Has the source parse and plan what the workers will ask for: columns, filter, privileges, row
// security. LIMIT 0 reads no row, and leaves every table in the query locked against changes of shape.
//
// The filter is the caller's text. It must be one expression: it is parsed first without our parentheses
// (a text that closes one of them could undo the condition on the chunk's range), then within. Parsing is
// by the extended protocol, which takes one statement only; nothing is run before both have passed.
void probe_source(Coordinator *c, const plan::SourceTable &table, const plan::RowShape &shape) {
    plan::Chunk all{};
    all.relation = table.name;
    all.kind = plan::Kind::whole;
    char *probe = psprintf("%s LIMIT 0", plan::select_statement(all, shape));
    if (shape.filter != nullptr) {
        source::check_syntax(c->connection,
                             psprintf("SELECT FROM %s WHERE %s\n", table.name, shape.filter));
        source::check_syntax(c->connection, probe);
    }
    (void)source::query(c->connection, probe);
}

// True when the source is this very server and database: it can see a lock that only we hold.
bool source_is_here(Coordinator *c) {
    int32 token = static_cast<int32>(MyProcPid ^ static_cast<int32>(GetCurrentTimestamp()));
    LOCKTAG tag;
    SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, static_cast<uint32>(token),
                         static_cast<uint32>(MyProcPid), 2);
    (void)LockAcquire(&tag, ShareLock, false, false);
    source::Rows rows = source::query(
        c->connection,
        psprintf("SELECT FROM pg_catalog.pg_locks WHERE locktype = 'advisory' AND pid = %d"
                 " AND classid = %u AND objid = %u",
                 MyProcPid, static_cast<uint32>(token), static_cast<uint32>(MyProcPid)));
    (void)LockRelease(&tag, ShareLock, false);
    return rows.count > 0;
}

// TRUNCATE must not empty what is about to be read, nor wait for ever for the lock our own session on
// the source holds on it. That session has by now locked all it will read.
void refuse_to_truncate_source(Coordinator *c) {
    if (!source_is_here(c))
        return;
    StringInfoData relids;
    initStringInfo(&relids);
    List *all = find_all_inheritors(c->request.target, NoLock, nullptr);
    ListCell *cell;
    foreach (cell, all)
        appendStringInfo(&relids, "%s%u", relids.len > 0 ? ", " : "", lfirst_oid(cell));
    source::Rows rows = source::query(
        c->connection,
        psprintf("SELECT FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_database d"
                 " ON d.oid = l.database AND d.datname = pg_catalog.current_database()"
                 " WHERE l.locktype = 'relation' AND l.pid = pg_catalog.pg_backend_pid()"
                 " AND l.relation IN (%s) AND %u = d.oid",
                 relids.data, MyDatabaseId));
    if (rows.count > 0)
        ereport(ERROR,
                (errcode(ERRCODE_OBJECT_IN_USE),
                 errmsg("cannot truncate \"%s\": it is the source of the copy",
                        c->request.target_table),
                 errdetail("Source and target are the same table, or the source reads the target."),
                 errhint("Leave truncate out, or check the source's host and dbname.")));
}

// Connects as the coordinator.
source::Connection *connect(Coordinator *c) {
    MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);
    source::Connection *connection =
        source::connect(c->request.source, trust_of(c->request),
                        psprintf("fastcopy job " INT64_FORMAT " coordinator", c->area->job));
    MemoryContextSwitchTo(old);
    return connection;
}

// From an empty hand to a committed plan.
void start(Coordinator *c) {
    check_cancel();
    pg::begin_transaction(c->area->identity);
    normalise_local_session(c->request.triggers);
    SetConfigOption("synchronous_commit", "on", PGC_USERSET, PGC_S_SESSION);

    int64 job = job::ledger::next_job();
    c->area->job = job;
    job::lock_registry(LW_EXCLUSIVE);
    me->job = job;
    job::unlock_registry();
    show_activity(psprintf("fastcopy job " INT64_FORMAT, job),
                  psprintf("copying %s", c->request.target_table));

    Relation target = sink::open_target(c->request.target);

    c->connection = connect(c);
    plan::SourceTable table = plan::find_table(c->connection, c->request.source_table);
    snapshot::publish(c->area, plan::begin_and_export(c->connection, table));
    source::notice_vanished_client(c->connection);
    plan::SourceColumns columns = plan::read_columns(c->connection, table);
    const char *integer_datetimes = PQparameterStatus(c->connection->conn, "integer_datetimes");
    plan::RowShape shape =
        plan::match_columns(c->request, columns, target, source::server_version(c->connection),
                            integer_datetimes == nullptr || strcmp(integer_datetimes, "on") == 0);
    (void)sink::check_insert(target, shape.ncolumns, shape.columns);
    probe_source(c, table, shape);
    plan::SourceLeaves leaves = plan::read_leaves(c->connection, table);
    plan::Plan plan = plan::cut(c->connection, c->request, table, columns, leaves);
    table_close(target, NoLock);

    if (c->request.truncate) {
        refuse_to_truncate_source(c);
        run_local(psprintf("TRUNCATE %s", quoted_target(c->request.target)));
    }

    c->chunks = plan.count;
    c->started_at = GetCurrentTimestamp();
    job::ledger::add_job(job, c->request, shape, c->area->identity.role, c->started_at, plan.chunks,
                         plan.count);
    pg_atomic_write_u64(&me->bytes_expected, plan.bytes_expected);
    pg_atomic_write_u32(&me->chunks, static_cast<uint32>(plan.count));

    int useful = Min(c->request.workers, plan.count);
    int launched = grow(&c->crew, useful);
    if (launched == 0 && useful > 0)
        ereport(ERROR, (errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
                        errmsg("no background worker slot is free for the job's workers"),
                        errhint("Wait for other background workers to end, or raise "
                                "max_worker_processes.")));
    c->area->workers_launched = launched < useful ? launched : c->request.workers;

    pg::commit_transaction();
    in_ledger = true;
    move_to(job::State::copying);
    pg_write_barrier();
    pg_atomic_write_u32(&c->area->gate, static_cast<uint32>(job::Gate::open));
    wake(&c->crew);
    answer(c->area, job::Answer::ready);
}

// Raises the job's error in this process, if one of its processes has recorded any.
void raise_if_failed(Coordinator *c) {
    if (pg::is_complete(&c->area->error))
        pg::raise(&c->area->error, ERROR);
    if (c->crew.died)
        ereport(ERROR,
                (errcode(ERRCODE_INTERNAL_ERROR), errmsg("a fastcopy worker ended unexpectedly"),
                 errhint("The server log may say why.")));
}

// Runs a step that talks to the source; if it fails for a reason that passes by itself, the connection
// is given up, and the snapshot wanted from a worker.
void survive_loss(Coordinator *c, void (*step)(Coordinator *c)) {
    MemoryContext context = CurrentMemoryContext;
    PG_TRY();
    { step(c); }
    PG_CATCH();
    {
        MemoryContextSwitchTo(TopMemoryContext);
        ErrorData *error = CopyErrorData();
        if (!retry::may_pass(error->sqlerrcode) || c->losses >= c->request.retry_limit)
            PG_RE_THROW();
        FlushErrorState();
        MemoryContextSwitchTo(context);
        ereport(LOG,
                (errcode(error->sqlerrcode),
                 errmsg("fastcopy job " INT64_FORMAT " has lost its coordinator's connection: %s",
                        c->area->job, error->message)));
        if (c->connection != nullptr)
            source::close(c->connection);
        c->connection = nullptr;
        c->loss = error;
        c->losses++;
        snapshot::want(c->area);
    }
    PG_END_TRY();
}

// Whether any worker is connected to the source, and so holds the snapshot.
bool crew_holds_snapshot(Coordinator *c) {
    for (int i = 0; i < c->crew.count; i++) {
        if (pg_atomic_read_u32(&job::worker_slot(c->crew.members[i].slot.index)->source_pid) != 0)
            return true;
    }
    return false;
}

// Takes the snapshot over, once a worker has offered it.
void recover(Coordinator *c) {
    if (c->losses > 1)
        retry::back_off(c->request.retry_delay_ms, c->losses - 2);
    c->connection = connect(c);
    snapshot::take_over(c->area, c->connection);
}

// Waits for the latch, or for news from the source, which has none to tell but that it is gone.
void listen_to_source(Coordinator *c) {
    source::wait_readable(c->connection);
    bool alive = source::consume(c->connection);
    (void)PQisBusy(c->connection->conn);  // has libpq look at what it has read
    if (!alive)
        source::raise_remote_error(c->connection, nullptr, nullptr);
}

// Waits for something to do, with or without a connection to the source.
void wait_for_news(Coordinator *c) {
    if (c->connection != nullptr)
        return survive_loss(c, listen_to_source);
    if (snapshot::custody(c->area) == snapshot::Custody::offered)
        return survive_loss(c, recover);
    if (!crew_holds_snapshot(c) &&
        pg_atomic_read_u32(&me->chunks_done) < static_cast<uint32>(c->chunks))
        ereport(ERROR,
                (errcode(c->loss->sqlerrcode), errmsg_internal("%s", c->loss->message),
                 errdetail("No connection is left that holds the snapshot of the source."),
                 errhint("Chunks that are done stay in the target. Start the copy again with "
                         "truncate => true.")));
    // Nobody tells when the last worker loses its connection: look often.
    (void)WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, 200,
                    PG_WAIT_EXTENSION);
    ResetLatch(MyLatch);
}

void watch(Coordinator *c) {
    for (;;) {
        check_cancel();
        reload_configuration();
        collect(&c->crew);
        raise_if_failed(c);

        uint32 done = pg_atomic_read_u32(&me->chunks_done);
        uint32 claimed = pg_atomic_read_u32(&me->next_chunk);
        if (done >= static_cast<uint32>(c->chunks) && c->crew.count == 0)
            return;
        int wanted = static_cast<int>(pg_atomic_read_u32(&me->workers_wanted));
        if (claimed < static_cast<uint32>(c->chunks)) {
            int unclaimed = c->chunks - static_cast<int>(claimed);
            int now = active(&c->crew);
            if (now > wanted)
                shrink(&c->crew, wanted);
            else if (now < wanted && c->connection != nullptr)
                (void)grow(&c->crew, Min(wanted, now + unclaimed));
            if (c->crew.count == 0 && c->connection != nullptr)
                ereport(ERROR, (errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
                                errmsg("no background worker slot is free for the job's workers"),
                                errhint("Raise max_worker_processes.")));
        }
        wait_for_news(c);
    }
}

// ANALYZE as the job's role; one that may not is told by PostgreSQL in a warning, as always. The table may have
// been dropped by now.
void analyze_target(Coordinator *c) {
    pg::begin_transaction(c->area->identity);
    Relation target = try_table_open(c->request.target, ShareUpdateExclusiveLock);
    if (target != nullptr) {
        if (target->rd_rel->relkind != RELKIND_VIEW)
            run_local(psprintf("ANALYZE %s", quoted_target(c->request.target)));
        table_close(target, NoLock);
    }
    pg::commit_transaction();
}

// All rows are there by now: what goes wrong with the statistics is told to the log, not to the job.
void try_to_analyze(Coordinator *c) {
    MemoryContext context = CurrentMemoryContext;
    PG_TRY();
    { analyze_target(c); }
    PG_CATCH();
    {
        MemoryContextSwitchTo(context);
        ErrorData *error = CopyErrorData();
        FlushErrorState();
        pg::abort_transaction();
        MemoryContextSwitchTo(context);
        ereport(WARNING, (errcode(error->sqlerrcode),
                          errmsg("fastcopy job " INT64_FORMAT " could not analyze %s: %s",
                                 c->area->job, c->request.target_table, error->message)));
        FreeErrorData(error);
    }
    PG_END_TRY();
}

void finish(Coordinator *c, job::State state, const pg::ErrorReport *error) {
    pg::begin_ledger_transaction();
    job::ledger::end_job(c->area->job, state, error);
    pg::commit_transaction();
    move_to(state);
}

void run_job(Coordinator *c) {
    start(c);
    watch(c);
    if (c->connection != nullptr)
        source::close(c->connection);
    c->connection = nullptr;
    if (c->request.statistics)
        try_to_analyze(c);
    finish(c, job::State::done, nullptr);
}

// The job's end when something has failed. Runs outside of any transaction.
void fail(Coordinator *c, int sqlerrcode) {
    // From here on there is nothing left to cancel, only an end to be written down.
    pqsignal(SIGINT, SIG_IGN);
    QueryCancelPending = false;
    pg_atomic_write_u32(&me->stop, 1);
    dismiss(&c->crew);
    bool cancelled = sqlerrcode == ERRCODE_QUERY_CANCELED && c->area->error.chunk == no_chunk;
    if (in_ledger)
        finish(c, cancelled ? job::State::cancelled : job::State::failed,
               cancelled ? nullptr : &c->area->error);
    else
        answer(c->area, job::Answer::failed);
}

}  // namespace

bool launch_coordinator(job::SlotRef job, BackgroundWorkerHandle **handle) {
    return launch(coordinator_type, coordinator_type, "fastcopy_coordinator_main", job, handle);
}

}  // namespace fastcopy::run

void fastcopy_coordinator_main(Datum argument) {
    using namespace fastcopy;
    using namespace fastcopy::run;

    install_signal_handlers();
    my_ref = job::to_slot_ref(argument);
    me = job::adopt_job(my_ref);
    if (me == nullptr)
        return;
    before_shmem_exit(release_at_exit, 0);

    static Coordinator c;
    c.area = job::attach_area(me->area);
    if (c.area == nullptr)
        return;
    my_area = c.area;
    pg::watch_fatal(&c.area->error, &no_chunk);
    CurrentMemoryContext =
        AllocSetContextCreate(TopMemoryContext, "fastcopy coordinator", ALLOCSET_DEFAULT_SIZES);
    MemoryContext context = CurrentMemoryContext;
    pg::connect_as(c.area->identity);

    volatile bool failed = false;
    volatile int failure = 0;
    PG_TRY();
    {
        MemoryContextSwitchTo(context);
        c.request = job::read_request(c.area);
        c.crew = make_crew(my_ref);
        run_job(&c);
    }
    PG_CATCH();
    {
        MemoryContextSwitchTo(context);
        ErrorData *error = CopyErrorData();
        pg::record(&c.area->error, error, no_chunk);
        failed = true;
        failure = error->sqlerrcode;
        if (in_ledger)
            EmitErrorReport();
        FlushErrorState();
        debug_query_string = nullptr;
        pg::abort_transaction();
    }
    PG_END_TRY();

    if (failed) {
        PG_TRY();
        {
            MemoryContextSwitchTo(context);
            fail(&c, failure);
        }
        PG_CATCH();
        {
            // The ledger could not be written: it keeps saying that the job runs, and with nobody
            // to own it the job reads interrupted.
            EmitErrorReport();
            FlushErrorState();
            pg::abort_transaction();
        }
        PG_END_TRY();
    }
}
