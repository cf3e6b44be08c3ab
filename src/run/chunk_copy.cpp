#include "run/chunk_copy.hpp"

#include "job/ledger.hpp"
#include "plan/markers.hpp"
#include "run/marker_wait.hpp"
#include "sink/copy_in.hpp"
#include "sink/foreign_keys.hpp"
#include "sink/target.hpp"
#include "sink/target_files.hpp"
#include "source/row_stream.hpp"

namespace fastcopy::run {

namespace {

// What the transaction has copied so far.
struct Sum {
    uint64 rows;
    uint64 bytes;
};

// The byte source of the sink: the rows of a chunk, from the source.
struct Feed {
    Worker *worker;
    source::RowStream stream;
    Sum before;
};

// Reads from the stream, and copies its counters to the worker's slot for fastcopy.status and
// fastcopy.workers.
int read_and_count(void *self, char *buffer, int size) {
    auto *feed = static_cast<Feed *>(self);
    feed->worker->reading_source = true;
    int got = source::read(&feed->stream, buffer, size);
    feed->worker->reading_source = false;
    pg_atomic_write_u64(&feed->worker->slot->rows, feed->before.rows + feed->stream.messages);
    pg_atomic_write_u64(&feed->worker->slot->bytes, feed->before.bytes + feed->stream.bytes);
    return got;
}

int largest_row(void *self) {
    return static_cast<Feed *>(self)->stream.largest_message;
}

// Prefixes a statement on the chunk with settings: the chunk's name for the source's
// pg_stat_activity, and whether sequential scans are allowed. A part of a table is to be read by
// ctid or index, a whole one sequentially.
char *source_statement(const Worker *worker, const plan::Chunk &chunk, const char *statement) {
    return psprintf("SET application_name = 'fastcopy job " INT64_FORMAT
                    " chunk %d';"
                    "SET enable_seqscan = %s; %s",
                    worker->area->job, chunk.number, chunk.kind == plan::Kind::whole ? "on" : "off",
                    statement);
}

// Checks that as many rows were inserted as the source reports to have sent. A difference is a bug,
// unless the target may drop rows. Returns whether it may, which is examined only if rows are
// missing.
bool check_count(Relation target, const source::RowStream &stream, uint64 rows) {
    if (!stream.at_end)
        ereport(ERROR, (errcode(ERRCODE_BAD_COPY_FILE_FORMAT),
                        errmsg("unexpected data after end of COPY from source")));
    if (rows == stream.rows_sent)
        return false;
    if (!sink::may_drop_rows(target))
        ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
                        errmsg("the source sent " UINT64_FORMAT " rows, but " UINT64_FORMAT
                               " were inserted",
                               stream.rows_sent, rows)));
    return true;
}

// Checks that the relation still has the file that it had in the job's snapshot: a file made by
// TRUNCATE or a rewrite since lacks rows that the snapshot sees. The chunk's own read has locked
// the relation, so its file cannot change from here on.
void check_source_file(Worker *worker, const plan::Chunk &chunk) {
    if (worker->checked_relation != nullptr &&
        strcmp(worker->checked_relation, chunk.relation) == 0)
        return;
    plan::check_not_replaced(worker->connection, {&chunk, 1});
    worker->checked_relation = MemoryContextStrdup(TopMemoryContext, chunk.relation);
}

// Checks that the target still has all files that this job has written to, and adds the files of
// partitions that were attached meanwhile to the ledger, as this chunk's rows may be in them. In
// the chunk's transaction, after its rows.
void check_target_files(Worker *worker, int32 table, Oid target, const char *target_table,
                        const job::TargetFiles &files) {
    job::TargetFiles now = sink::read_files(target);
    if (sink::without(files, now).count > 0)
        sink::raise_files_lost(target_table);
    job::TargetFiles fresh = sink::without(now, files);
    if (fresh.count > 0)
        job::ledger::add_target_files(worker->area->job, table, fresh);
}

// The same for the table at hand, if it may have changed.
void check_target_again(Worker *worker, Relation target) {
    if (!sink::catalogs_have_changed())
        return;
    check_target_files(worker, worker->table_number, worker->table.target,
                       worker->table.target_table, worker->files);
    worker->stores_elsewhere = sink::stores_elsewhere(target);
}

void take_table(Worker *worker, const job::ledger::TableRow &row) {
    worker->table = row.table;
    worker->shape = row.shape;
    worker->files = row.files;
    worker->table_chunks = row.chunks;
    worker->stores_elsewhere = false;
    // What has changed until now was noticed for another table.
    sink::look_again();
}

// Makes the chunk's table the one at hand.
void turn_to_table(Worker *worker, int32 number) {
    if (worker->table_number == number)
        return;
    worker->table_number = 0;
    if (worker->of_table == nullptr)
        worker->of_table =
            AllocSetContextCreate(TopMemoryContext, "fastcopy table", ALLOCSET_SMALL_SIZES);
    MemoryContextReset(worker->of_table);
    MemoryContext old = MemoryContextSwitchTo(worker->of_table);
    take_table(worker, job::ledger::read_table(worker->area->job, number));
    MemoryContextSwitchTo(old);
    worker->table_number = number;
}

// The chunk is done: nothing of it is left to a successor. False if that was so already: an attempt
// that has come so far may be repeated.
bool finish_chunk(Worker *worker, int32 number) {
    job::ClaimedChunks left = job::read_claim(worker->slot);
    bool is_first = left.count > 0 && left.first == number;
    if (is_first)
        job::write_claim(worker->slot, job::ClaimedChunks{left.first + 1, left.count - 1});
    pg_atomic_write_u32(&worker->slot->chunk, 0);
    pg_atomic_write_u32(&worker->slot->chunk_retries, 0);
    worker->chunk = 0;
    return is_first;
}

void report_done(Worker *worker, const job::ledger::CopiedChunk &copied) {
    pg_atomic_write_u64(&worker->slot->rows, 0);
    pg_atomic_write_u64(&worker->slot->bytes, 0);
    pg_atomic_fetch_add_u64(&worker->job_slot->rows, static_cast<int64>(copied.rows_sent));
    pg_atomic_fetch_add_u64(&worker->job_slot->bytes, static_cast<int64>(copied.bytes));
    pg_atomic_fetch_add_u32(&worker->job_slot->chunks_done, 1);
    pg_atomic_fetch_add_u32(&worker->slot->chunks_done, 1);
    pg_atomic_fetch_add_u64(&worker->slot->rows_done, static_cast<int64>(copied.rows_sent));
    pg_atomic_fetch_add_u64(&worker->slot->bytes_done, static_cast<int64>(copied.bytes));
    (void)finish_chunk(worker, copied.number);
}

// Says in errors and in pg_stat_activity which chunk, of the table at hand, is copied.
void show_copy(Worker *worker, const plan::Chunk &chunk) {
    worker->range = plan::describe(chunk);
    pg::show_activity(
        psprintf("fastcopy job " INT64_FORMAT " chunk %d", worker->area->job, chunk.number),
        psprintf("COPY %s FROM fastcopy source %s", worker->table.target_table, worker->range));
}

// Copies the rows of a chunk, whose table is the one at hand.
job::ledger::CopiedChunk copy_rows(Worker *worker, const plan::Chunk &chunk, Relation target,
                                   Sum before, TimestampTz started_at) {
    sink::check_types(target, worker->shape.ncolumns, worker->shape.columns, worker->shape.types);
    ParseState *pstate = sink::check_insert(target, worker->shape.ncolumns, worker->shape.columns);
    worker->reading_source = true;
    Feed feed{
        worker,
        source::open(worker->connection,
                     source_statement(worker, chunk, plan::copy_statement(chunk, worker->shape))),
        before};
    worker->reading_source = false;
    sink::leave_unchecked(worker->table.target, worker->unchecked, worker->unchecked_count);
    sink::ByteSource bytes{&feed, read_and_count, largest_row};
    uint64 rows = sink::copy_in(target, pstate, worker->shape.ncolumns, worker->shape.columns,
                                worker->shape.as_written, worker->shape.binary,
                                worker->request.source_encoding, bytes);
    sink::check_again();
    bool may_drop_rows = check_count(target, feed.stream, rows);
    return job::ledger::CopiedChunk{.number = chunk.number,
                                    .worker = worker->slot->number,
                                    .rows = rows,
                                    .rows_sent = feed.stream.rows_sent,
                                    .may_drop_rows = may_drop_rows,
                                    .bytes = feed.stream.bytes,
                                    .retries = worker->retries,
                                    .started_at = started_at};
}

// Locks the targets as each chunk's transaction does, without waiting: a session that holds one and
// waits for another would be in a deadlock with us. False if one of them cannot be locked now, or
// needs a transaction of its own.
bool lock_targets(std::span<const job::ledger::ChunkOfTable> batch) {
    for (const job::ledger::ChunkOfTable &item : batch) {
        if (!ConditionalLockRelationOid(item.table.table.target, RowExclusiveLock))
            return false;
        // Tables that inherit from one are locked with it.
        if (get_rel_relkind(item.table.table.target) != RELKIND_RELATION ||
            has_subclass(item.table.table.target))
            return false;
    }
    return true;
}

// What a transaction of its own would have: functions of the last table may have changed settings,
// and those of the next see what has been committed, or inserted here, meanwhile.
void begin_next(Worker *worker) {
    CommandCounterIncrement();
    PopActiveSnapshot();
    PushActiveSnapshot(GetTransactionSnapshot());
    take_on_settings(worker->request);
}

// Copies the rows of these chunks, and checks them as copy_chunk does. False as copy_chunks.
bool copy_batch(Worker *worker, std::span<const job::ledger::ChunkOfTable> batch,
                job::ledger::CopiedChunk *copied) {
    auto *chunks = static_cast<plan::Chunk *>(palloc(sizeof(plan::Chunk) * batch.size()));
    Sum sum{};
    worker->table_number = 0;
    for (size_t i = 0; i < batch.size(); i++) {
        if (i > 0)
            begin_next(worker);
        chunks[i] = batch[i].chunk;
        take_table(worker, batch[i].table);
        worker->chunk = chunks[i].number;
        pg_atomic_write_u32(&worker->slot->chunk, static_cast<uint32>(chunks[i].number));
        TimestampTz started_at = GetCurrentTimestamp();
        show_copy(worker, chunks[i]);
        Relation target = sink::open_target(worker->table.target);
        if (sink::stores_elsewhere(target) || sink::has_insert_trigger(target))
            return false;
        copied[i] = copy_rows(worker, chunks[i], target, sum, started_at);
        table_close(target, NoLock);
        sum.rows += copied[i].rows_sent;
        sum.bytes += copied[i].bytes;
    }
    worker->range = nullptr;
    worker->reading_source = true;
    plan::check_not_replaced(worker->connection, {chunks, batch.size()});
    worker->reading_source = false;
    marker_wait::wait(worker->area, worker->job_slot);
    for (const job::ledger::ChunkOfTable &item : batch)
        check_target_files(worker, item.chunk.table, item.table.table.target,
                           item.table.table.target_table, item.table.files);
    return true;
}

}  // namespace

void copy_chunk(Worker *worker, int32 number) {
    TimestampTz started_at = GetCurrentTimestamp();
    pg::begin_transaction(worker->area->identity);
    take_on_settings(worker->request);
    plan::Chunk chunk = job::ledger::read_chunk(worker->area->job, number);
    if (chunk.done) {
        // Done and counted before the job was resumed.
        pg::commit_transaction();
        (void)finish_chunk(worker, number);
        return;
    }
    turn_to_table(worker, chunk.table);
    show_copy(worker, chunk);
    Relation target = sink::open_target(worker->table.target);
    job::ledger::CopiedChunk copied = copy_rows(worker, chunk, target, Sum{}, started_at);
    worker->reading_source = true;
    check_source_file(worker, chunk);
    worker->reading_source = false;
    marker_wait::wait(worker->area, worker->job_slot);
    check_target_again(worker, target);  // may lock the job's row, which the marker is written to
    table_close(target, NoLock);

    job::ledger::mark_done(worker->area->job, {&copied, 1});
    pg_atomic_write_u32(&worker->slot->committing_elsewhere, worker->stores_elsewhere ? 1 : 0);
    pg::commit_transaction();
    pg_atomic_write_u32(&worker->slot->committing_elsewhere, 0);
    worker->range = nullptr;
    debug_query_string = nullptr;
    report_done(worker, copied);
}

bool copy_chunks(Worker *worker, job::ClaimedChunks claim) {
    // Counted after the commit, which frees all else.
    job::ledger::CopiedChunk copied[job::most_claimed];
    Assert(claim.count <= job::most_claimed);
    pg::begin_transaction(worker->area->identity);
    take_on_settings(worker->request);
    std::span<job::ledger::ChunkOfTable> batch =
        job::ledger::read_undone_chunks(worker->area->job, claim.first, claim.count);
    size_t count = batch.size();
    if (!lock_targets(batch) || (count > 0 && !copy_batch(worker, batch, copied))) {
        // An attempt without an error: what it has inserted must not stay.
        worker->range = nullptr;
        debug_query_string = nullptr;
        pg::abort_transaction();
        sink::look_again();
        return false;
    }
    if (count > 0)
        job::ledger::mark_done(worker->area->job, {copied, count});
    pg::commit_transaction();
    debug_query_string = nullptr;
    for (size_t i = 0; i < count; i++)
        report_done(worker, copied[i]);
    // The others were done before the job was resumed.
    job::write_claim(worker->slot, job::ClaimedChunks{});
    return true;
}

void check_chunk(Worker *worker, int32 number) {
    pg::begin_transaction(worker->area->identity);
    plan::Chunk chunk = job::ledger::read_chunk(worker->area->job, number);
    if (chunk.done) {
        turn_to_table(worker, chunk.table);
        worker->range = plan::describe(chunk);
        const char *statement =
            plan::count_statement(chunk, worker->shape, worker->former_snapshot);
        pg::show_activity(
            psprintf("fastcopy job " INT64_FORMAT " chunk %d", worker->area->job, number),
            psprintf("looking for changes in %s", worker->range));
        worker->reading_source = true;
        source::Rows counts =
            source::query(worker->connection, source_statement(worker, chunk, statement));
        auto now = static_cast<uint64>(counts.number_at(0, 0, 0, PG_INT64_MAX));
        auto newer = static_cast<uint64>(counts.number_at(0, 1, 0, PG_INT64_MAX));
        if (now != chunk.rows_sent || newer != 0)
            plan::raise_changed(
                worker->table.source_table,
                psprintf("Chunk %d had " UINT64_FORMAT " rows; now it has " UINT64_FORMAT
                         ", of which " UINT64_FORMAT " are new or updated.",
                         number, chunk.rows_sent, now, newer));
    }
    pg::commit_transaction();
    worker->range = nullptr;
    debug_query_string = nullptr;
    if (finish_chunk(worker, number))
        pg_atomic_fetch_add_u32(&worker->job_slot->chunks_checked, 1);
}

}  // namespace fastcopy::run
