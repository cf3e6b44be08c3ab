// The preparation of a new job: see run/preparation.hpp.
#include "job/ledger.hpp"
#include "plan/composites.hpp"
#include "plan/money.hpp"
#include "plan/planner.hpp"
#include "plan/row_shape.hpp"
#include "run/foreign_keys.hpp"
#include "run/kinship.hpp"
#include "run/marker_wait.hpp"
#include "run/preparation_steps.hpp"
#include "run/sync.hpp"
#include "run/ways.hpp"
#include "sink/across_rows.hpp"
#include "sink/copy_in.hpp"
#include "sink/indexes.hpp"
#include "sink/target.hpp"
#include "sink/target_files.hpp"
#include "sink/target_lock.hpp"
#include "sink/truncate.hpp"

namespace fastcopy::run {

namespace {

// Locks the target against everybody else for the rest of the transaction, and checks again what
// was checked under the weaker lock, which the caller has released.
void lock_target_exclusively(const job::Request &request, const plan::RowShape &shape) {
    sink::check_may_write(request.target, request.truncate, request.rebuild_indexes);
    sink::lock_exclusively(request.target);
    Relation target = sink::open_target(request.target);
    sink::check_types(target, shape.ncolumns, shape.columns, shape.types);
    (void)sink::check_insert(target, shape.ncolumns, shape.columns);
    table_close(target, NoLock);
}

// Sets indexes aside, with the target locked exclusively; after TRUNCATE, which would rebuild them.
void set_indexes_aside(RunningJob *job) {
    job::TargetIndexes indexes = sink::list_indexes(job->request.target);
    job::ledger::add_indexes(job->area->job, indexes);
    for (int i = 0; i < indexes.count; i++)
        sink::set_aside(indexes.indexes[i].oid);
    pg_atomic_write_u32(&job->slot->indexes, static_cast<uint32>(indexes.count));
}

// Replaces the plan by one chunk if a constraint looks at more than one row: chunks are committed
// one by one. Returns whether it did.
bool keep_in_one_transaction(RunningJob *job, const SourceFacts &facts, plan::Plan *plan) {
    sink::AcrossRows constraint =
        sink::find_across_rows(job->request.target, job->request.rebuild_indexes);
    if (constraint.name == nullptr || plan->count <= 1)
        return false;
    *plan = plan::keep_whole(facts.table, *plan);
    snprintf(job->area->notice, sizeof(job->area->notice),
             "%s is copied in one transaction by one worker, because %s \"%s\" looks at more than "
             "one row%s",
             job->request.target_table, constraint.kind, constraint.name,
             constraint.rebuild_would_do
                 ? "; with indexes => 'rebuild', its owner can have it checked in the end"
                 : "");
    return true;
}

}  // namespace

void prepare_new(RunningJob *job) {
    const job::Request &request = job->request;
    bool exclusive = request.truncate || request.rebuild_indexes;
    if (request.sync)
        sync::take_turn(job);
    int64 id = job::ledger::next_job();
    sink::check_may_write(request.target, request.truncate, request.rebuild_indexes);
    take_up(job, id);

    Relation target = sink::open_target(request.target);
    job->area->stores_elsewhere = sink::stores_elsewhere(target);
    SourceFacts facts = open_source(job);
    if (request.sync && sync::nothing_has_run(job, facts)) {
        table_close(target, NoLock);
        return;
    }
    const char *integer_datetimes = source::parameter(job->connection, "integer_datetimes");
    plan::RowShape shape = plan::match_columns(
        request, facts.columns, sink::read_columns(target), source::server_version(job->connection),
        integer_datetimes == nullptr || strcmp(integer_datetimes, "on") == 0);
    (void)sink::check_insert(target, shape.ncolumns, shape.columns);
    sink::Writer writer = choose_writer(job, target, shape);
    plan::check_composites(job->connection, facts.table, shape, target);
    plan::check_money(job->connection, shape);
    probe_source(job, facts, shape);
    read_rest(job, &facts);
    marker_wait::begin(job, facts.marker);
    plan::Reader reader = choose_reader(job, facts.table, shape, &facts.leaves);
    bool by_copy_from = writer.way == sink::Way::copy &&
                        !sink::takes_fast_path(target, shape.ncolumns, shape.columns, shape.binary);
    plan::CutOptions options{.source_table = request.source_table,
                             // Of fastcopy.sync by its key too: a run that is resumed does not
                             // look whether rows have moved to other blocks.
                             .key = request.key,
                             .workers = request.workers,
                             .chunk_size_kb = request.chunk_size_kb,
                             .ring_per_chunk = by_copy_from};
    sync::Run run{};
    if (request.sync)
        run = sync::decide(job, &facts, &shape);
    plan::Plan plan = request.sync && !run.whole ? run.plan
                                                 : plan::cut(job->connection, options, facts.table,
                                                             facts.columns, &facts.leaves);
    table_close(target, exclusive ? RowExclusiveLock : NoLock);
    if (job->nothing_new)
        return;
    if (keep_in_one_transaction(job, facts, &plan) && run.condition != nullptr)
        sync::narrow(&shape, run.condition);

    if (exclusive) {
        refuse_to_lock_source(job);
        lock_target_exclusively(request, shape);
    }
    if (request.truncate)
        sink::truncate(request.target, writer.by_engine);

    job->chunks = plan.count;
    job::ledger::add_job(id, request, shape, job->area->identity.role, GetCurrentTimestamp(),
                         plan.chunks, plan.count, facts.markers, sink::read_files(request.target));
    if (request.sync)
        sync::write(job, &run);
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

}  // namespace fastcopy::run
