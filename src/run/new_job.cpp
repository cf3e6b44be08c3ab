// The preparation of a new job: see run/preparation.hpp.
#include <algorithm>

#include "job/ledger.hpp"
#include "plan/composites.hpp"
#include "plan/money.hpp"
#include "plan/planner.hpp"
#include "plan/row_shape.hpp"
#include "run/definitions.hpp"
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

// A table of the job while it is planned.
struct Draft {
    const job::Table *request;
    Relation target;
    plan::RowShape shape;
    sink::Writer writer;
    plan::Reader reader;
    plan::Plan plan;
    bool small;  // may be copied together with others
};

// Locks the targets against everybody else for the rest of the transaction, and checks again what
// was checked under the weaker locks, which the caller has released.
void lock_targets_exclusively(const job::Request &request, const Draft *drafts) {
    check_may_write(request);
    for (int i = 0; i < request.ntables; i++) {
        const plan::RowShape &shape = drafts[i].shape;
        sink::lock_exclusively(request.tables[i].target);
        Relation target = sink::open_target(request.tables[i].target);
        sink::check_types(target, shape.ncolumns, shape.columns, shape.types);
        (void)sink::check_insert(target, shape.ncolumns, shape.columns);
        table_close(target, NoLock);
    }
    // Partitions may have been added since the first check.
    if (request.clone)
        check_may_write(request);
}

void truncate_targets(const job::Request &request, const Draft *drafts) {
    auto *targets = static_cast<Oid *>(palloc(sizeof(Oid) * request.ntables));
    for (bool by_engine : {false, true}) {
        size_t count = 0;
        for (int i = 0; i < request.ntables; i++) {
            if (drafts[i].writer.by_engine == by_engine)
                targets[count++] = request.tables[i].target;
        }
        if (count > 0)
            sink::truncate({targets, count}, request.clone && !by_engine, by_engine);
    }
}

// Sets indexes aside, with the targets locked exclusively; after TRUNCATE, which would rebuild them.
void set_indexes_aside(RunningJob *job) {
    int count = 0;
    for (int i = 0; i < job->request.ntables; i++) {
        job::TargetIndexes indexes = sink::list_indexes(job->request.tables[i].target);
        auto *definitions =
            static_cast<job::Definition *>(palloc(sizeof(job::Definition) * indexes.count + 1));
        for (int j = 0; j < indexes.count; j++) {
            const job::TargetIndex &index = indexes.indexes[j];
            definitions[j] = job::Definition{.index = index.oid,
                                             .kind = "INDEX",
                                             .name = index.name,
                                             .sql = index.definition,
                                             .stage = job::Stage::tables,
                                             .table = i + 1};
        }
        job::ledger::add_definitions(job->area->job, count + 1,
                                     {definitions, static_cast<size_t>(indexes.count)});
        for (int j = 0; j < indexes.count; j++)
            sink::set_aside(indexes.indexes[j].oid);
        count += indexes.count;
    }
    pg_atomic_write_u32(&job->slot->definitions, static_cast<uint32>(count));
}

void add_notice(RunningJob *job, const char *notice) {
    char *all = job->area->notice;
    if (all[0] != '\0')
        strlcat(all, "\n", sizeof(job->area->notice));
    size_t used = strlen(all);
    size_t left = sizeof(job->area->notice) - used - 1;
    size_t length = pg_mbcliplen(notice, static_cast<int>(strlen(notice)), static_cast<int>(left));
    memcpy(all + used, notice, length);
    all[used + length] = '\0';
}

// Replaces the plan by one chunk if a constraint looks at more than one row: chunks are committed
// one by one. Returns whether it did.
bool keep_in_one_transaction(RunningJob *job, const TableFacts &facts, Draft *draft) {
    sink::AcrossRows constraint = sink::find_across_rows(
        draft->request->target, {job->request.rebuild_indexes, job->request.clone});
    if (constraint.name == nullptr || draft->plan.count <= 1)
        return false;
    draft->plan = plan::keep_whole(facts.table, draft->plan);
    add_notice(
        job, psprintf("%s is copied in one transaction by one worker, because %s \"%s\" looks at "
                      "more than one row%s",
                      draft->request->target_table, constraint.kind, constraint.name,
                      constraint.rebuild_would_do
                          ? "; with indexes => 'rebuild', its owner can have it checked in the end"
                          : ""));
    return true;
}

Draft *open_targets(RunningJob *job) {
    const job::Request &request = job->request;
    auto *drafts = static_cast<Draft *>(palloc0(sizeof(Draft) * request.ntables));
    for (int i = 0; i < request.ntables; i++) {
        drafts[i].request = &request.tables[i];
        drafts[i].target = sink::open_target(request.tables[i].target);
        if (sink::stores_elsewhere(drafts[i].target))
            job->area->stores_elsewhere = true;
    }
    return drafts;
}

// Matches the tables' columns, and checks that they can be read and written.
void shape_rows(RunningJob *job, const SourceFacts &facts, Draft *drafts) {
    const char *integer_datetimes = source::parameter(job->connection, "integer_datetimes");
    bool has_integer_datetimes =
        integer_datetimes == nullptr || strcmp(integer_datetimes, "on") == 0;
    auto *shapes = static_cast<plan::RowShape *>(palloc(sizeof(plan::RowShape) * facts.ntables));
    for (int i = 0; i < facts.ntables; i++) {
        Draft *draft = &drafts[i];
        const TableFacts &table = facts.tables[i];
        draft->shape = plan::match_columns(
            job->request, *draft->request, table.columns, sink::read_columns(draft->target),
            source::server_version(job->connection), has_integer_datetimes);
        const plan::RowShape &shape = draft->shape;
        (void)sink::check_insert(draft->target, shape.ncolumns, shape.columns);
        draft->writer = choose_writer(job, *draft->request, draft->target, shape);
        plan::check_composites(job->connection, table.table, shape, draft->target);
        plan::check_money(job->connection, shape);
        shapes[i] = shape;
    }
    probe_source(job, facts, shapes);
}

plan::Plan cut(RunningJob *job, TableFacts *facts, const Draft &draft) {
    const plan::RowShape &shape = draft.shape;
    bool by_copy_from =
        draft.writer.way == sink::Way::copy &&
        !sink::takes_fast_path(draft.target, shape.ncolumns, shape.columns, shape.binary);
    plan::CutOptions options{.source_table = draft.request->source_table,
                             // Of fastcopy.sync by its key too: a run that is resumed does not
                             // look whether rows have moved to other blocks.
                             .key = draft.request->key,
                             .workers = job->request.workers,
                             .chunk_size_kb = job->request.chunk_size_kb,
                             .ring_per_chunk = by_copy_from};
    return plan::cut(job->connection, options, facts->table, facts->columns, &facts->leaves);
}

// Numbers the chunks of all tables, those of the largest first, so that none starts after the others
// have finished; small tables are the last. Returns their number.
int number_chunks(RunningJob *job, Draft *drafts) {
    const job::Request &request = job->request;
    auto **by_size = static_cast<Draft **>(palloc(sizeof(Draft *) * request.ntables));
    for (int i = 0; i < request.ntables; i++)
        by_size[i] = &drafts[i];
    std::stable_sort(by_size, by_size + request.ntables, [](const Draft *a, const Draft *b) {
        if (a->small != b->small)
            return b->small;
        return a->plan.bytes_expected > b->plan.bytes_expected;
    });
    int32 number = 0;
    int32 last_of_others = 0;
    for (int i = 0; i < request.ntables; i++) {
        for (int j = 0; j < by_size[i]->plan.count; j++) {
            plan::Chunk *chunk = &by_size[i]->plan.chunks[j];
            chunk->number = ++number;
            chunk->table = static_cast<int32>(by_size[i] - drafts) + 1;
        }
        if (!by_size[i]->small)
            last_of_others = number;
    }
    pg_atomic_write_u32(&job->slot->small_from, static_cast<uint32>(last_of_others));
    return number;
}

// Writes the job and its tables to the ledger.
void write_ledger(RunningJob *job, const SourceFacts &facts, const Draft *drafts) {
    const job::Request &request = job->request;
    int64 id = job->area->job;
    job::ledger::add_job(id, request, job->area->identity.role, GetCurrentTimestamp(), job->chunks,
                         facts.markers);
    for (int i = 0; i < request.ntables; i++) {
        const Draft &draft = drafts[i];
        job::ledger::PlannedTable table{.number = i + 1,
                                        .request = draft.request,
                                        .shape = &draft.shape,
                                        .markers = facts.tables[i].markers,
                                        .files = sink::read_files(draft.request->target),
                                        .ways = take_ways(job, &draft.reader, draft.writer),
                                        .chunks = draft.plan.chunks,
                                        .nchunks = draft.plan.count};
        job::ledger::add_table(id, table);
    }
    job::ledger::add_settings(id, request.settings);
}

}  // namespace

void prepare_new(RunningJob *job) {
    const job::Request &request = job->request;
    bool exclusive = needs_exclusive_lock(request);
    if (request.sync)
        sync::take_turn(job);
    int64 id = job->area->job = job::ledger::next_job();
    Listing listing{};
    if (request.clone)
        listing = find_tables(job);
    SourceFacts facts{};
    dump::Dump dumped{};
    if (request.create) {
        facts = open_source(job);
        dumped = create_tables(job, listing, facts);
    }
    check_may_write(request);
    take_up(job, id);

    Draft *drafts = open_targets(job);
    if (!request.create)
        facts = open_source(job);
    if (request.sync && sync::nothing_has_run(job, facts)) {
        table_close(drafts[0].target, NoLock);
        return;
    }
    shape_rows(job, facts, drafts);
    read_rest(job, &facts);
    if (request.clone)
        check_unchanged(listing, facts);
    marker_wait::begin(job, facts.marker);
    sync::Run run{};
    uint64 bytes_expected = 0;
    for (int i = 0; i < request.ntables; i++) {
        Draft *draft = &drafts[i];
        TableFacts *table = &facts.tables[i];
        draft->reader =
            choose_reader(job, *draft->request, table->table, draft->shape, &table->leaves);
        if (request.sync)
            run = sync::decide(job, &facts, &draft->shape);
        draft->plan = request.sync && !run.whole ? run.plan : cut(job, table, *draft);
        bool small = is_small(job, draft->reader, table->leaves, draft->target, draft->writer);
        table_close(draft->target, exclusive ? RowExclusiveLock : NoLock);
        if (job->nothing_new)
            return;
        if (keep_in_one_transaction(job, *table, draft) && run.condition != nullptr)
            sync::narrow(&draft->shape, run.condition);
        draft->small =
            small && draft->plan.count == 1 && draft->plan.chunks[0].kind == plan::Kind::whole;
        bytes_expected += draft->plan.bytes_expected;
    }

    if (exclusive) {
        refuse_to_lock_source(job);
        lock_targets_exclusively(request, drafts);
    }
    if (request.truncate)
        truncate_targets(request, drafts);

    job->chunks = number_chunks(job, drafts);
    write_ledger(job, facts, drafts);
    if (request.sync)
        sync::write(job, &run);
    if (request.rebuild_indexes)
        set_indexes_aside(job);
    if (request.create)
        write_definitions(job, dumped, facts);
    note_foreign_keys(job);
    pg_atomic_write_u64(&job->slot->bytes_expected, bytes_expected);
    pg_atomic_write_u32(&job->slot->chunks, static_cast<uint32>(job->chunks));
    launch_crew(job, job->chunks);
}

}  // namespace fastcopy::run
