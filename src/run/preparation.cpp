#include "run/preparation.hpp"

#include "job/ledger.hpp"
#include "pg/wait.hpp"
#include "plan/composites.hpp"
#include "plan/markers.hpp"
#include "plan/money.hpp"
#include "plan/name_types.hpp"
#include "plan/planner.hpp"
#include "plan/probe.hpp"
#include "plan/row_shape.hpp"
#include "run/foreign_keys.hpp"
#include "run/lock_wait.hpp"
#include "run/marker_wait.hpp"
#include "run/proof.hpp"
#include "run/search_path.hpp"
#include "run/snapshot.hpp"
#include "run/ways.hpp"
#include "sink/across_rows.hpp"
#include "sink/copy_in.hpp"
#include "sink/indexes.hpp"
#include "sink/local_sql.hpp"
#include "sink/target.hpp"
#include "sink/target_files.hpp"
#include "sink/target_lock.hpp"
#include "source/session.hpp"

namespace fastcopy::run {

namespace {

// What the source has told of its table, within the transaction that holds the job's snapshot.
struct SourceFacts {
    plan::SourceTable table;
    plan::SourceColumns columns;
    plan::Leaves leaves;
    const char *position;  // in the WAL, before the snapshot was taken
    job::SourceMarkers markers;
    plan::MarkerWait marker;
};

// Whether what is done to the target here happens to the tables of the source, too.
enum class Kinship { none, same_server, standby };

// True when the source is this very server: it can see a lock that only we hold.
bool source_is_here(RunningJob *job) {
    int32 token = static_cast<int32>(MyProcPid ^ static_cast<int32>(GetCurrentTimestamp()));
    LOCKTAG tag;
    SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, static_cast<uint32>(token),
                         static_cast<uint32>(MyProcPid), 2);
    (void)LockAcquire(&tag, ShareLock, false, false);
    source::Rows rows = source::query(
        job->connection,
        psprintf("SELECT FROM pg_catalog.pg_locks WHERE locktype = 'advisory' AND pid = %d"
                 " AND classid = %u AND objid = %u",
                 MyProcPid, static_cast<uint32>(token), static_cast<uint32>(MyProcPid)));
    (void)LockRelease(&tag, ShareLock, false);
    return rows.count > 0;
}

// True when the source replays our WAL. A standby that does not tell whose it is may be ours: which tables it
// has locked decides then.
bool source_is_our_standby(RunningJob *job) {
    source::Rows rows =
        source::query(job->connection,
                      "SELECT pg_catalog.pg_is_in_recovery(), pg_catalog.has_function_privilege("
                      "'pg_catalog.pg_control_system()', 'EXECUTE')");
    if (rows.at(0, 0)[0] != 't')
        return false;
    if (rows.at(0, 1)[0] != 't')
        return true;
    rows = source::query(job->connection,
                         "SELECT system_identifier FROM pg_catalog.pg_control_system()");
    return strcmp(rows.at(0, 0), psprintf(UINT64_FORMAT, GetSystemIdentifier())) == 0;
}

Kinship kinship_of_source(RunningJob *job) {
    if (source_is_here(job))
        return Kinship::same_server;
    return source_is_our_standby(job) ? Kinship::standby : Kinship::none;
}

// TRUNCATE must not empty what is about to be read, here or on a standby that replays it, nor may the job wait
// for ever for a lock that conflicts with that of its own session on the source. That session has by now
// locked all it will read. A standby's tables have the OIDs of ours.
void refuse_to_lock_source(RunningJob *job) {
    Kinship kinship = kinship_of_source(job);
    if (kinship == Kinship::none)
        return;
    StringInfoData relids;
    initStringInfo(&relids);
    List *all = find_all_inheritors(job->request.target, NoLock, nullptr);
    ListCell *cell;
    foreach (cell, all)
        appendStringInfo(&relids, "%s%u", relids.len > 0 ? ", " : "", lfirst_oid(cell));
    source::Rows rows = source::query(
        job->connection,
        psprintf("SELECT FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_database d"
                 " ON d.oid = l.database AND d.datname = pg_catalog.current_database()"
                 " WHERE l.locktype = 'relation' AND l.pid = pg_catalog.pg_backend_pid()"
                 " AND l.relation IN (%s) AND %u = d.oid",
                 relids.data, MyDatabaseId));
    if (rows.count == 0)
        return;
    const char *name = job->request.target_table;
    ereport(
        ERROR,
        (errcode(ERRCODE_OBJECT_IN_USE),
         job->request.truncate
             ? errmsg("cannot truncate \"%s\": it is the source of the copy", name)
             : errmsg("cannot rebuild the indexes of \"%s\": it is the source of the copy", name),
         kinship == Kinship::standby
             ? errdetail("The source is a standby of this server, which replays what is done here.")
             : errdetail("Source and target are the same table, or the source reads the target."),
         job->request.truncate
             ? errhint("Leave truncate out, or check the source's host and dbname.")
             : errhint("Leave indexes out, or check the source's host and dbname.")));
}

// Connects, finds the table and exports the snapshot.
SourceFacts open_source(RunningJob *job) {
    SourceFacts facts{};
    job->connection = connect_coordinator(job);
    // The first worker gets up and connects while the plan is made; what hinders it is told when the others are
    // launched. Whether a job that is resumed has anything left for workers is not known yet.
    if (job->request.resumed_job == 0)
        (void)grow(&job->crew, 1);
    source::Connection *connection = job->connection;
    facts.table = plan::find_table(connection, job->request.source_table);
    facts.position = plan::read_position(connection);
    snapshot::publish(job->area, plan::begin_and_export(connection, facts.table));
    source::notice_vanished_client(connection);
    facts.columns = plan::read_columns(connection, facts.table);
    return facts;
}

// What workers lock as they connect: all that they may read, unless these are so many tables that the source's room for
// locks would not do for each worker. Who may not read all columns may not lock.
const char *lock_statement(const SourceFacts &facts) {
    constexpr int most_leaves = 64;
    bool lockable =
        facts.table.relkind == RELKIND_RELATION || facts.table.relkind == RELKIND_PARTITIONED_TABLE;
    if (!lockable || !facts.table.readable || facts.leaves.count > most_leaves)
        return nullptr;
    return psprintf("LOCK TABLE %s IN ACCESS SHARE MODE", facts.table.name);
}

void move_gate(RunningJob *job, job::Gate gate) {
    pg_write_barrier();
    pg_atomic_write_u32(&job->area->gate, static_cast<uint32>(gate));
    wake(&job->crew);
}

// Finds out by which search_path the source can run what the workers will ask for.
void probe_source(RunningJob *job, const SourceFacts &facts, const plan::RowShape &shape) {
    bool fixed_path = plan::prints_names(shape, facts.columns);
    plan::probe_by_any_path(job->connection, facts.table, shape, fixed_path);
    search_path::publish(job->area, job->connection, fixed_path);
}

// Not before it was checked that the role may read the table: errors about that are better than ours.
void read_rest(RunningJob *job, SourceFacts *facts) {
    facts->leaves = plan::read_leaves(job->connection, facts->table);
    lock_wait::publish(job->area, lock_statement(*facts));
    facts->markers = plan::read_markers(job->connection, facts->columns, facts->leaves,
                                        facts->position, &facts->marker);
    move_gate(job, job::Gate::joining);
}

// Starts workers for that many chunks.
void launch_crew(RunningJob *job, int chunks) {
    int useful = Min(job->request.workers, chunks);
    int launched = grow(&job->crew, useful);
    if (launched == 0 && useful > 0)
        pg::raise_no_worker_slot();
    job->area->workers_launched = launched < useful ? launched : job->request.workers;
}

void show_job(const RunningJob *job) {
    pg::show_activity(psprintf("fastcopy job " INT64_FORMAT, job->area->job),
                      psprintf("copying %s", job->request.target_table));
}

// Locks the target against everybody else for the rest of the transaction, and checks again what was checked
// under the weaker lock, which the caller has released.
void lock_target_exclusively(const job::Request &request, const plan::RowShape &shape) {
    sink::check_may_write(request.target, request.truncate, request.rebuild_indexes);
    sink::lock_exclusively(request.target);
    Relation target = sink::open_target(request.target);
    sink::check_types(target, shape.ncolumns, shape.columns, shape.types);
    (void)sink::check_insert(target, shape.ncolumns, shape.columns);
    table_close(target, NoLock);
}

// The target is locked exclusively. After TRUNCATE, which would build them anew.
void set_indexes_aside(RunningJob *job) {
    job::TargetIndexes indexes = sink::list_indexes(job->request.target);
    job::ledger::add_indexes(job->area->job, indexes);
    for (int i = 0; i < indexes.count; i++)
        sink::set_aside(indexes.indexes[i].oid);
    pg_atomic_write_u32(&job->slot->indexes, static_cast<uint32>(indexes.count));
}

// Makes the job this process's, and the target the job's. Workers of the job's former coordinator, or of
// another job on the target, may be about to exit: they were told to.
void take_up(RunningJob *job, int64 id) {
    const job::Request &request = job->request;
    bool exclusive = request.truncate || request.rebuild_indexes;
    job->area->job = id;
    for (;;) {
        job::Claimed claimed =
            job::claim_job(job->slot, id, exclusive, sink::read_family(request.target));
        switch (claimed.claim) {
            case job::Claim::mine:
                return;
            case job::Claim::running:
                ereport(ERROR, (errcode(ERRCODE_OBJECT_IN_USE),
                                errmsg("fastcopy job " INT64_FORMAT " is running", id)));
            case job::Claim::target_taken:
                ereport(ERROR,
                        (errcode(ERRCODE_OBJECT_IN_USE),
                         errmsg("%s is the target of fastcopy job " INT64_FORMAT,
                                request.target_table, claimed.other),
                         exclusive ? errdetail("A job that truncates its target or rebuilds its "
                                               "indexes shares the target with no other job.")
                                   : errdetail("That job truncates the target or rebuilds its "
                                               "indexes."),
                         errhint("Wait for that job to end, or cancel it.")));
            case job::Claim::being_left:
                break;
        }
        (void)pg::wait_latch(100);
        check_cancel(job);
    }
}

// Where a constraint looks at more than one row, the chunks must not be committed one by one.
void keep_in_one_transaction(RunningJob *job, const SourceFacts &facts, plan::Plan *plan) {
    sink::AcrossRows constraint =
        sink::find_across_rows(job->request.target, job->request.rebuild_indexes);
    if (constraint.name == nullptr || plan->count <= 1)
        return;
    *plan = plan::keep_whole(facts.table, *plan);
    snprintf(job->area->notice, sizeof(job->area->notice),
             "%s is copied in one transaction by one worker, because %s \"%s\" looks at more than "
             "one row%s",
             job->request.target_table, constraint.kind, constraint.name,
             constraint.rebuild_would_do
                 ? "; with indexes => 'rebuild', its owner can have it checked in the end"
                 : "");
}

void prepare_new(RunningJob *job) {
    const job::Request &request = job->request;
    bool exclusive = request.truncate || request.rebuild_indexes;
    int64 id = job::ledger::next_job();
    sink::check_may_write(request.target, request.truncate, request.rebuild_indexes);
    take_up(job, id);
    show_job(job);

    Relation target = sink::open_target(request.target);
    job->area->stores_elsewhere = sink::stores_elsewhere(target);
    SourceFacts facts = open_source(job);
    const char *integer_datetimes = source::parameter(job->connection, "integer_datetimes");
    plan::RowShape shape =
        plan::match_columns(request, facts.columns, target, source::server_version(job->connection),
                            integer_datetimes == nullptr || strcmp(integer_datetimes, "on") == 0);
    (void)sink::check_insert(target, shape.ncolumns, shape.columns);
    sink::Writer writer = choose_writer(job, target, shape);
    plan::check_composites(job->connection, facts.table, shape, target);
    plan::check_money(job->connection, shape);
    probe_source(job, facts, shape);
    read_rest(job, &facts);
    marker_wait::begin(job, facts.marker);
    plan::Reader reader = plan::choose_reader(job->connection, facts.table, shape, &facts.leaves);
    bool by_copy_from = writer.way == sink::Way::copy &&
                        !sink::takes_fast_path(target, shape.ncolumns, shape.columns, shape.binary);
    plan::CutOptions options{.source_table = request.source_table,
                             .key = request.key,
                             .workers = request.workers,
                             .chunk_size_kb = request.chunk_size_kb,
                             .ring_per_chunk = by_copy_from};
    plan::Plan plan =
        plan::cut(job->connection, options, facts.table, facts.columns, &facts.leaves);
    table_close(target, exclusive ? RowExclusiveLock : NoLock);
    keep_in_one_transaction(job, facts, &plan);

    if (exclusive) {
        refuse_to_lock_source(job);
        lock_target_exclusively(request, shape);
    }
    if (request.truncate)
        sink::run_local(psprintf("TRUNCATE %s", sink::quoted_relation(request.target)));

    job->chunks = plan.count;
    job::ledger::add_job(id, request, shape, job->area->identity.role, GetCurrentTimestamp(),
                         plan.chunks, plan.count, facts.markers, sink::read_files(request.target));
    job::ledger::add_settings(id, request.settings);
    job::ledger::add_wire(id, shape);
    note_ways(job, &reader, writer);
    if (request.rebuild_indexes)
        set_indexes_aside(job);
    note_foreign_keys(job);
    pg_atomic_write_u64(&job->slot->bytes_expected, plan.bytes_expected);
    pg_atomic_write_u32(&job->slot->chunks, static_cast<uint32>(plan.count));
    launch_crew(job, plan.count);
}

// Compares what can be compared without reading the table; true if the rows have to be counted.
bool compare_markers(RunningJob *job, const job::ledger::Former &former, const SourceFacts &facts) {
    const char *what = plan::difference(former.markers, facts.markers, facts.position);
    if (what == nullptr) {
        job::ledger::Relations done = job::ledger::read_done_relations(job->area->job);
        for (int i = 0; i < done.count && what == nullptr; i++) {
            if (!plan::is_checkable(done.relations[i].name, done.relations[i].only, facts.leaves))
                what =
                    "Rows of views, foreign tables and tables of other access methods than heap "
                    "do not tell whether they have changed.";
        }
    }
    if (what != nullptr)
        plan::raise_changed(former.source_table, what);
    return !plan::nothing_has_run(former.markers, facts.markers);
}

// Has the crew count the rows of all chunks that are done. One that differs is the job's error.
void check_chunks(RunningJob *job) {
    move_gate(job, job::Gate::checking);
    while (pg_atomic_read_u32(&job->slot->chunks_checked) < static_cast<uint32>(job->chunks)) {
        check_cancel(job);
        collect(&job->crew);
        raise_if_failed(job);
        // Nobody takes the snapshot over at this point, and nothing is lost yet.
        if (snapshot::custody(job->area) != snapshot::Custody::held)
            ereport(ERROR, (errcode(ERRCODE_CONNECTION_FAILURE),
                            errmsg("lost the connection to the source server"),
                            errdetail("The source no longer has the snapshot of the job."),
                            errhint("Resume the job again.")));
        // Workers that were terminated are replaced, as often as retries are allowed.
        int wanted = active(&job->crew) + job->crew.leftover_count;
        (void)grow(&job->crew, Max(wanted, 1));
        if (job->crew.count == 0)
            ereport(ERROR, (errcode(ERRCODE_OPERATOR_INTERVENTION),
                            errmsg("a fastcopy worker was terminated while it looked for changes "
                                   "of the source table"),
                            errhint("Resume the job again.")));
        (void)pg::wait_latch(200);
    }
}

void prepare_again(RunningJob *job) {
    const job::Request &request = job->request;
    int64 id = request.resumed_job;
    sink::check_may_write(request.target, false, request.rebuild_indexes);
    take_up(job, id);
    show_job(job);

    // Read once nobody else can write to it any more.
    job::ledger::Former former = job::ledger::read_former(id);
    if (strcmp(former.state, job::name_of(job::State::done)) == 0)
        ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                        errmsg("fastcopy job " INT64_FORMAT " is done", id)));
    plan::RowShape shape = job::ledger::read_shape(id);
    Relation target = sink::open_target(request.target);
    sink::check_types(target, shape.ncolumns, shape.columns, shape.types);
    (void)sink::check_insert(target, shape.ncolumns, shape.columns);
    job->area->stores_elsewhere = sink::stores_elsewhere(target);
    bool may_have_changed = former.chunks_done > 0 && !request.accept_changes;
    if (may_have_changed)
        proof::check_target(former);
    // A server that stops in the middle of a commit leaves no error behind.
    bool interrupted = strcmp(former.state, job::name_of(job::State::copying)) == 0;
    if ((former.unresolved || (interrupted && job->area->stores_elsewhere)) &&
        former.chunks_done < former.chunks && !request.accept_changes)
        ereport(ERROR,
                (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                 errmsg("target table %s may hold rows of a chunk that is not done",
                        former.target_table),
                 former.unresolved
                     ? errdetail("The commit of its foreign tables has failed, and nobody knows "
                                 "how far it came.")
                     : errdetail("The job was interrupted, perhaps while its foreign tables "
                                 "committed."),
                 errhint("Look for these rows, and remove them; then resume with accept_changes => "
                         "true.")));

    sink::Writer writer = choose_writer(job, target, shape);

    // With all rows there, the source has nothing left to give.
    plan::Reader reader{};
    SourceFacts facts{};
    facts.markers = former.markers;
    bool must_count = false;
    if (former.chunks_done < former.chunks) {
        facts = open_source(job);
        plan::check_composites(job->connection, facts.table, shape, target);
        plan::check_money(job->connection, shape);
        probe_source(job, facts, shape);
        read_rest(job, &facts);
        // With rows that were copied before, the job must not lose what it can be resumed by.
        if (facts.marker.snapshot != nullptr &&
            plan::wait_until_durable(job->connection, facts.marker) == plan::Durable::yes)
            facts.markers.snapshot = facts.marker.snapshot;
        reader = plan::choose_reader(job->connection, facts.table, shape, &facts.leaves);
        must_count = may_have_changed && compare_markers(job, former, facts);
        check_ways(job, facts.leaves);
    }
    table_close(target, NoLock);

    job->chunks = former.chunks;
    job->area->done_before = static_cast<uint32>(former.chunks_done);
    MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);
    job->done_before = job::ledger::read_done_chunks(id);
    MemoryContextSwitchTo(old);
    pg_atomic_write_u32(&job->slot->indexes, static_cast<uint32>(former.indexes));
    pg_atomic_write_u32(&job->slot->indexes_done, static_cast<uint32>(former.indexes_done));
    pg_atomic_write_u64(&job->slot->bytes_expected, plan::size_of(facts.leaves));
    pg_atomic_write_u32(&job->slot->chunks, static_cast<uint32>(former.chunks));
    pg_atomic_write_u32(&job->slot->chunks_done, static_cast<uint32>(former.chunks_done));
    pg_atomic_write_u64(&job->slot->rows, static_cast<uint64>(former.rows));
    pg_atomic_write_u64(&job->slot->bytes, static_cast<uint64>(former.bytes));
    // Then there is nothing to claim, either, and no connection that anybody could work on.
    if (former.chunks_done == former.chunks)
        pg_atomic_write_u32(&job->slot->next_chunk, static_cast<uint32>(former.chunks));
    launch_crew(job, must_count ? former.chunks : former.chunks - former.chunks_done);
    if (must_count)
        check_chunks(job);
    keep_aside(job);
    job::ledger::begin_again(id, request, facts.markers, sink::read_files(request.target));
    note_ways(job, former.chunks_done < former.chunks ? &reader : nullptr, writer);
}

}  // namespace

void prepare(RunningJob *job) {
    check_cancel(job);
    pg::begin_transaction(job->area->identity);
    pg::load_libraries(job->request.settings);
    take_on_settings(job->request);
    SetConfigOption("synchronous_commit", "on", PGC_USERSET, PGC_S_SESSION);
    if (job->request.resumed_job == 0)
        prepare_new(job);
    else
        prepare_again(job);
    pg::commit_transaction();
    job->in_ledger = true;
}

}  // namespace fastcopy::run
