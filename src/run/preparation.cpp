#include "run/preparation.hpp"

#include "pg/wait.hpp"
#include "plan/name_types.hpp"
#include "plan/probe.hpp"
#include "run/coordinator_connection.hpp"
#include "run/lock_wait.hpp"
#include "run/preparation_steps.hpp"
#include "run/search_path.hpp"
#include "run/snapshot.hpp"
#include "sink/target_lock.hpp"
#include "source/session.hpp"

namespace fastcopy::run {

namespace {

void show_job(const RunningJob *job) {
    pg::show_activity(psprintf("fastcopy job " INT64_FORMAT, job->area->job),
                      psprintf("copying %s", job->request.target_table));
}

// The statement by which workers lock all that they may read as they connect; nullptr if the tables
// are so many that the source's lock table might overflow. LOCK TABLE needs the privilege on all
// columns.
const char *lock_statement(const SourceFacts &facts) {
    constexpr int most_leaves = 64;
    bool lockable =
        facts.table.relkind == RELKIND_RELATION || facts.table.relkind == RELKIND_PARTITIONED_TABLE;
    if (!lockable || !facts.table.readable || facts.leaves.count > most_leaves)
        return nullptr;
    return psprintf("LOCK TABLE %s IN ACCESS SHARE MODE", facts.table.name);
}

}  // namespace

void take_up(RunningJob *job, int64 id) {
    const job::Request &request = job->request;
    bool exclusive = request.truncate || request.rebuild_indexes;
    job->area->job = id;
    for (;;) {
        job::Claimed claimed =
            job::claim_job(job->slot, id, exclusive, sink::read_family(request.target));
        switch (claimed.claim) {
            case job::Claim::mine:
                return show_job(job);
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

SourceFacts open_source(RunningJob *job) {
    SourceFacts facts{};
    job->connection = connect_coordinator(job);
    // Start the first worker of a new job, which connects while the plan is made; launch_crew
    // reports a failure. A job that is resumed may need no workers.
    // A run of fastcopy.sync neither, if there is nothing new.
    if (job->request.resumed_job == 0 && !job->request.sync)
        (void)grow(&job->crew, 1);
    source::Connection *connection = job->connection;
    facts.table = plan::find_table(connection, job->request.source_table);
    facts.position = plan::read_position(connection);
    if (job->request.sync)
        facts.counters = plan::read_counters(connection, facts.table);
    snapshot::publish(job->area, plan::begin_and_export(connection, facts.table));
    source::notice_vanished_client(connection);
    facts.columns = plan::read_columns(connection, facts.table);
    return facts;
}

void probe_source(RunningJob *job, const SourceFacts &facts, const plan::RowShape &shape) {
    bool fixed_path = plan::prints_names(shape, facts.columns);
    plan::probe_by_any_path(job->connection, facts.table, shape, fixed_path);
    search_path::publish(job->area, job->connection, fixed_path);
}

void read_rest(RunningJob *job, SourceFacts *facts) {
    facts->leaves = plan::read_leaves(job->connection, facts->table);
    lock_wait::publish(job->area, lock_statement(*facts));
    facts->markers = plan::read_markers(job->connection, facts->columns, facts->leaves,
                                        facts->position, &facts->marker);
    move_gate(job, job::Gate::joining);
}

void launch_crew(RunningJob *job, int chunks) {
    int useful = Min(job->request.workers, chunks);
    int launched = grow(&job->crew, useful);
    if (launched == 0 && useful > 0)
        pg::raise_no_worker_slot();
    job->area->workers_launched = launched < useful ? launched : job->request.workers;
}

void prepare(RunningJob *job) {
    check_cancel(job);
    pg::begin_transaction(job->area->identity);
    pg::load_libraries(job->request.settings);
    take_on_settings(job->request);
    SetConfigOption("synchronous_commit", "on", PGC_USERSET, PGC_S_SESSION);
    if (job->request.resumed_job == 0)
        prepare_new(job);
    else
        prepare_resumed(job);
    // An error that a worker has met so far is the call's.
    collect(&job->crew);
    raise_if_failed(job);
    pg::commit_transaction();
    job->in_ledger = !job->nothing_new;
}

}  // namespace fastcopy::run
