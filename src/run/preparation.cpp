#include "run/preparation.hpp"

#include <algorithm>

#include "job/claim.hpp"
#include "pg/wait.hpp"
#include "plan/name_types.hpp"
#include "plan/probe.hpp"
#include "run/coordinator_connection.hpp"
#include "run/foreign_keys.hpp"
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
                      psprintf("copying %s", job::name_of_targets(job->request)));
}

// The statement by which workers lock all that they may read as they connect; nullptr if the tables
// are so many that the source's lock table might overflow.
const char *lock_statement(const SourceFacts &facts) {
    constexpr int most_leaves = 64;
    int leaves = 0;
    StringInfoData statement;
    initStringInfo(&statement);
    for (int i = 0; i < facts.ntables; i++) {
        const TableFacts &table = facts.tables[i];
        leaves += table.leaves.count;
        if (plan::is_lockable(table.table))
            appendStringInfo(&statement, "%s%s", statement.len > 0 ? ", " : "LOCK TABLE ",
                             table.table.name);
    }
    if (statement.len == 0 || leaves > most_leaves)
        return nullptr;
    appendStringInfoString(&statement, " IN ACCESS SHARE MODE");
    return statement.data;
}

std::span<const Oid> read_targets(const job::Request &request) {
    auto *targets = static_cast<Oid *>(palloc(sizeof(Oid) * Max(request.ntables, 1)));
    for (int i = 0; i < request.ntables; i++)
        targets[i] = request.tables[i].target;
    return {targets, static_cast<size_t>(request.ntables)};
}

// The tables that share rows with the job's targets, in order.
std::span<const Oid> read_families(const job::Request &request) {
    List *all = NIL;
    for (int i = 0; i < request.ntables; i++) {
        for (Oid relid : sink::read_family(request.tables[i].target))
            all = lappend_oid(all, relid);
    }
    auto *family = static_cast<Oid *>(palloc(sizeof(Oid) * Max(list_length(all), 1)));
    int count = 0;
    ListCell *cell;
    foreach (cell, all)
        family[count++] = lfirst_oid(cell);
    std::sort(family, family + count);
    return {family, static_cast<size_t>(count)};
}

// What messages call a target that another job has.
const char *name_of_taken(const job::Request &request, Oid target) {
    const char *name = get_rel_name(target);
    if (!request.clone || name == nullptr)
        return job::name_of_targets(request);
    return quote_qualified_identifier(get_namespace_name(get_rel_namespace(target)), name);
}

}  // namespace

bool needs_exclusive_lock(const job::Request &request) {
    return request.truncate || sets_foreign_keys_aside(request);
}

void check_may_write(const job::Request &request) {
    auto maintenance = request.clone             ? sink::Maintenance::of_tables
                       : request.rebuild_indexes ? sink::Maintenance::of_indexes
                                                 : sink::Maintenance::none;
    bool truncate = request.truncate && request.resumed_job == 0;
    for (int i = 0; i < request.ntables; i++)
        sink::check_may_write(request.tables[i].target, truncate, maintenance);
}

void take_up(RunningJob *job, int64 id) {
    const job::Request &request = job->request;
    bool exclusive = needs_exclusive_lock(request);
    job->area->job = id;
    for (;;) {
        job::Claimed claimed =
            job::claim_job(job->slot, id, exclusive, read_targets(request), read_families(request));
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
                                name_of_taken(request, claimed.target), claimed.other),
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
    if (job->connection == nullptr)
        job->connection = connect_coordinator(job);
    // Start the first worker of a new job, which connects while the plan is made; launch_crew
    // reports a failure. A job that is resumed may need no workers.
    // A run of fastcopy.sync neither, if there is nothing new.
    // Nor does one that has tables to create first.
    if (job->request.resumed_job == 0 && !job->request.sync && !job->request.create)
        (void)grow(&job->crew, 1);
    source::Connection *connection = job->connection;
    facts.ntables = job->request.ntables;
    facts.tables = static_cast<TableFacts *>(palloc0(sizeof(TableFacts) * facts.ntables));
    auto count = static_cast<size_t>(facts.ntables);
    auto **names = static_cast<const char **>(palloc(sizeof(char *) * count));
    auto *tables = static_cast<plan::SourceTable *>(palloc(sizeof(plan::SourceTable) * count));
    auto *columns = static_cast<plan::SourceColumns *>(palloc(sizeof(plan::SourceColumns) * count));
    for (size_t i = 0; i < count; i++)
        names[i] = job->request.tables[i].source_table;
    plan::find_tables(connection, {names, count}, tables);
    for (size_t i = 0; i < count; i++) {
        // Children are tables of the job themselves.
        tables[i].alone =
            job->request.clone && tables[i].relkind == RELKIND_RELATION && tables[i].has_children;
        facts.tables[i].table = tables[i];
    }
    facts.position = plan::read_position(connection);
    if (job->request.sync)
        facts.counters = plan::read_counters(connection, facts.only_table().table);
    snapshot::publish(job->area, plan::begin_and_export(connection, {tables, count}));
    source::notice_vanished_client(connection);
    plan::read_columns(connection, {tables, count}, columns);
    for (size_t i = 0; i < count; i++)
        facts.tables[i].columns = columns[i];
    return facts;
}

void probe_source(RunningJob *job, const SourceFacts &facts, const plan::RowShape *shapes) {
    // All statements of the job run under one path.
    bool fixed_path = false;
    for (int i = 0; i < facts.ntables; i++)
        fixed_path = fixed_path || plan::prints_names(shapes[i], facts.tables[i].columns);
    for (int i = 0; i < facts.ntables; i++)
        plan::probe_by_any_path(job->connection, facts.tables[i].table, shapes[i], fixed_path);
    // One that needs the role's own path decides for those before it, too.
    for (int i = 0; i < facts.ntables && job->connection->own_search_path && facts.ntables > 1; i++)
        plan::probe(job->connection, facts.tables[i].table, shapes[i]);
    for (int i = 0; i < facts.ntables; i++)
        job->area->filtered = job->area->filtered || shapes[i].filter != nullptr;
    search_path::publish(job->area, job->connection, fixed_path);
}

void read_rest(RunningJob *job, SourceFacts *facts) {
    auto count = static_cast<size_t>(facts->ntables);
    auto *tables = static_cast<plan::SourceTable *>(palloc(sizeof(plan::SourceTable) * count));
    auto *leaves = static_cast<plan::Leaves *>(palloc(sizeof(plan::Leaves) * count));
    for (size_t i = 0; i < count; i++)
        tables[i] = facts->tables[i].table;
    plan::read_leaves(job->connection, {tables, count}, leaves);
    for (size_t i = 0; i < count; i++) {
        TableFacts *table = &facts->tables[i];
        table->leaves = leaves[i];
        table->markers = plan::markers_of(table->columns, table->leaves);
    }
    lock_wait::publish(job->area, lock_statement(*facts));
    facts->markers = plan::read_markers(job->connection, facts->position, &facts->marker);
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
