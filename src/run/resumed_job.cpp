// The preparation of a job that is resumed: see run/preparation.hpp.
#include "job/ledger.hpp"
#include "pg/wait.hpp"
#include "plan/composites.hpp"
#include "plan/money.hpp"
#include "run/definitions.hpp"
#include "run/foreign_keys.hpp"
#include "run/preparation_steps.hpp"
#include "run/proof.hpp"
#include "run/snapshot.hpp"
#include "run/sync.hpp"
#include "run/ways.hpp"
#include "sink/target.hpp"
#include "sink/target_files.hpp"
#include "sink/target_lock.hpp"

namespace fastcopy::run {

namespace {

// Compares the markers, without reading the table. Returns whether the rows have to be counted.
bool compare_markers(RunningJob *job, const job::ledger::ResumeState &former,
                     const SourceFacts &facts) {
    const char *history = plan::history_difference(former.markers, facts.markers, facts.position);
    for (int i = 0; i < former.ntables; i++) {
        const job::ledger::ResumeTable &then = former.tables[i];
        const TableFacts &now = facts.tables[i];
        if (then.chunks_done == 0)
            continue;
        const char *what =
            history != nullptr ? history : plan::table_difference(then.markers, now.markers);
        job::ledger::Relations done = job::ledger::read_done_relations(job->area->job, i + 1);
        for (int j = 0; j < done.count && what == nullptr; j++) {
            if (!plan::is_checkable(done.relations[j].name, done.relations[j].only, now.leaves))
                what =
                    "Changes of rows of views, foreign tables and tables of access methods other "
                    "than heap cannot be detected.";
        }
        if (what != nullptr)
            plan::raise_changed(then.source_table, what);
    }
    return !plan::nothing_has_run(former.markers, facts.markers);
}

// Of a table without any done chunk, rows may have changed. Its plan must still be right: the same
// columns, and no leaf that the plan does not know.
void check_plan(RunningJob *job, int table, const job::ledger::ResumeTable &then,
                const TableFacts &now) {
    if (then.markers.columns != nullptr && strcmp(then.markers.columns, now.markers.columns) != 0)
        plan::raise_changed(then.source_table, "The columns of the table have changed.");
    int count;
    const char **planned = job::ledger::read_only_relations(job->area->job, table + 1, &count);
    for (int i = 0; i < now.leaves.count && count > 0; i++) {
        bool found = false;
        for (int j = 0; j < count && !found; j++)
            found = strcmp(planned[j], now.leaves.leaves[i].name) == 0;
        if (!found && plan::needs_only(now.leaves.leaves[i]))
            plan::raise_changed(then.source_table,
                                psprintf("%s has become a part of it.", now.leaves.leaves[i].name));
    }
}

// The targets of a job that is resumed, and how they are written.
struct Targets {
    Relation *relations;
    plan::RowShape *shapes;
    sink::Writer *writers;
};

Targets open_targets(RunningJob *job) {
    int count = job->request.ntables;
    Targets targets{static_cast<Relation *>(palloc(sizeof(Relation) * count)),
                    static_cast<plan::RowShape *>(palloc(sizeof(plan::RowShape) * count)),
                    static_cast<sink::Writer *>(palloc(sizeof(sink::Writer) * count))};
    for (int i = 0; i < count; i++) {
        plan::RowShape shape = job::ledger::read_table(job->area->job, i + 1).shape;
        Relation target = sink::open_target(job->request.tables[i].target);
        sink::check_types(target, shape.ncolumns, shape.columns, shape.types);
        (void)sink::check_insert(target, shape.ncolumns, shape.columns);
        if (sink::stores_elsewhere(target))
            job->area->stores_elsewhere = true;
        targets.relations[i] = target;
        targets.shapes[i] = shape;
    }
    return targets;
}

// Rows of a chunk that is not done may be on the servers of foreign tables.
void refuse_unresolved(const RunningJob *job, const job::ledger::ResumeState &former) {
    // A server that crashes within a commit records no error.
    bool interrupted = strcmp(former.state, job::name_of(job::State::copying)) == 0;
    if ((former.unresolved || (interrupted && job->area->stores_elsewhere)) &&
        former.chunks_done < former.chunks && !job->request.accept_changes)
        ereport(ERROR,
                (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                 errmsg("target table %s may hold rows of a chunk that is not done",
                        job::name_of_targets(job->request)),
                 former.unresolved
                     ? errdetail("A commit of its foreign tables has failed, and may have stored "
                                 "some of the rows.")
                     : errdetail("The job was interrupted, possibly during a commit of its foreign "
                                 "tables."),
                 errhint("Look for these rows, and remove them; then resume with accept_changes => "
                         "true.")));
}

// Has the crew count the rows of all chunks that are done. A difference is the job's error.
void check_chunks(RunningJob *job) {
    move_gate(job, job::Gate::checking);
    while (pg_atomic_read_u32(&job->slot->chunks_checked) < static_cast<uint32>(job->chunks)) {
        check_cancel(job);
        collect(&job->crew);
        raise_if_failed(job);
        // At this point, no worker could hand the snapshot over; nothing is lost yet.
        if (snapshot::custody(job->area) != snapshot::Custody::held)
            ereport(ERROR, (errcode(ERRCODE_CONNECTION_FAILURE),
                            errmsg("lost the connection to the source server"),
                            errdetail("The source no longer has the snapshot of the job."),
                            errhint("Resume the job again.")));
        // Replace workers that were terminated, within the limit of retries.
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

}  // namespace

void prepare_resumed(RunningJob *job) {
    const job::Request &request = job->request;
    int64 id = request.resumed_job;
    bool of_sync = job::ledger::is_sync_run(id);
    if (of_sync)
        sync::take_turn(job);
    check_may_write(request);
    take_up(job, id);

    // Read after take_up: no other process of the job writes to the ledger any more.
    job::ledger::ResumeState former = job::ledger::read_resume_state(id);
    job::ledger::raise_if_done(id, former);
    Targets targets = open_targets(job);
    bool may_have_changed = former.chunks_done > 0 && !request.accept_changes;
    // Of fastcopy.sync the target has rows of former runs, too.
    bool target_counts = may_have_changed || (of_sync && !request.accept_changes);
    if (target_counts)
        proof::check_targets(former, of_sync ? proof::Targets::all : proof::Targets::with_rows);
    refuse_unresolved(job, former);
    for (int i = 0; i < request.ntables; i++)
        targets.writers[i] =
            choose_writer(job, request.tables[i], targets.relations[i], targets.shapes[i]);

    // With all chunks done, the source is not needed.
    bool needs_source = former.chunks_done < former.chunks;
    auto *readers = static_cast<plan::Reader *>(palloc0(sizeof(plan::Reader) * request.ntables));
    SourceFacts facts{};
    facts.markers = former.markers;
    bool must_count = false;
    uint64 bytes_expected = 0;
    auto *small = static_cast<int32 *>(palloc(sizeof(int32) * request.ntables));
    size_t small_count = 0;
    if (needs_source) {
        facts = open_source(job);
        for (int i = 0; i < request.ntables; i++) {
            plan::check_composites(job->connection, facts.tables[i].table, targets.shapes[i],
                                   targets.relations[i]);
            plan::check_money(job->connection, targets.shapes[i]);
        }
        probe_source(job, facts, targets.shapes);
        read_rest(job, &facts);
        // Rows that were copied before must stay resumable: wait for the new marker now.
        if (facts.marker.snapshot != nullptr &&
            plan::wait_until_durable(job->connection, facts.marker) == plan::Durable::yes)
            facts.markers.snapshot = facts.marker.snapshot;
        for (int i = 0; i < request.ntables; i++) {
            TableFacts *table = &facts.tables[i];
            readers[i] = choose_reader(job, request.tables[i], table->table, targets.shapes[i],
                                       &table->leaves);
            bytes_expected += plan::size_of(table->leaves);
            if (former.tables[i].chunks == 1 &&
                is_small(job, readers[i], table->leaves, targets.relations[i], targets.writers[i]))
                small[small_count++] = i + 1;
        }
        // The next run of fastcopy.sync looks for rows that came in between.
        if (of_sync)
            sync::check_history(request, former.markers, facts);
        else
            must_count = may_have_changed && compare_markers(job, former, facts);
        for (int i = 0; i < request.ntables; i++) {
            check_ways(job, i, facts.tables[i].leaves);
            if (!of_sync && !request.accept_changes && former.tables[i].chunks_done == 0)
                check_plan(job, i, former.tables[i], facts.tables[i]);
        }
    }
    for (int i = 0; i < request.ntables; i++)
        table_close(targets.relations[i], NoLock);

    job->chunks = former.chunks;
    job->area->done_before = static_cast<uint32>(former.chunks_done);
    MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);
    job->done_before = job::ledger::read_done_chunks(id);
    MemoryContextSwitchTo(old);
    int32 last_of_others = job::ledger::last_chunk_of_others(id, {small, small_count});
    pg_atomic_write_u32(&job->slot->small_from, static_cast<uint32>(last_of_others));
    pg_atomic_write_u32(&job->slot->definitions, static_cast<uint32>(former.definitions));
    pg_atomic_write_u32(&job->slot->definitions_done, static_cast<uint32>(former.definitions_done));
    pg_atomic_write_u64(&job->slot->bytes_expected, bytes_expected);
    pg_atomic_write_u32(&job->slot->chunks, static_cast<uint32>(former.chunks));
    pg_atomic_write_u32(&job->slot->chunks_done, static_cast<uint32>(former.chunks_done));
    pg_atomic_write_u64(&job->slot->rows, static_cast<uint64>(former.rows));
    pg_atomic_write_u64(&job->slot->bytes, static_cast<uint64>(former.bytes));
    // Then no chunk may be claimed, as there is no connection to copy it with.
    if (!needs_source)
        pg_atomic_write_u32(&job->slot->next_chunk, static_cast<uint32>(former.chunks));
    launch_crew(job, must_count ? former.chunks : former.chunks - former.chunks_done);
    if (must_count)
        check_chunks(job);
    keep_aside(job);
    if (needs_source)
        read_sequences_again(job);
    job::ledger::begin_again(id, request, facts.markers);
    for (int i = 0; i < request.ntables; i++) {
        // Again, as partitions are not locked: the ledger must not take the file of an emptied
        // partition for one that this job has written to.
        job::TargetFiles files = sink::read_files(request.tables[i].target);
        if (target_counts && (of_sync || former.tables[i].chunks_done > 0))
            proof::check_files(former.tables[i], files);
        job::ledger::begin_table_again(
            id, i + 1, needs_source ? facts.tables[i].markers : former.tables[i].markers, files);
        job::ledger::note_ways(
            id, i + 1, take_ways(job, needs_source ? &readers[i] : nullptr, targets.writers[i]));
    }
}

}  // namespace fastcopy::run
