// The set-returning functions behind the views: the registry's current contents.
#include "api/access.hpp"
#include "api/sql_objects.hpp"
#include "core/progress.hpp"
#include "job/registry.hpp"
#include "pg/set_result.hpp"

namespace fastcopy::api {

namespace {

// Totals over a job's workers, read under the registry's lock.
struct InFlight {
    uint32 workers;
    uint32 chunks;
    uint64 rows;
    uint64 bytes;
};

InFlight count_in_flight(uint32 job_index, uint32 job_generation) {
    InFlight in_flight{};
    for (uint32 i = 0; i < job::slot_count(); i++) {
        job::WorkerSlot *worker = job::worker_slot(i);
        if (!worker->in_use || worker->job_index != job_index ||
            worker->job_generation != job_generation || worker->pid == 0)
            continue;
        in_flight.workers++;
        in_flight.chunks += pg_atomic_read_u32(&worker->chunk) != 0 ? 1 : 0;
        in_flight.rows += pg_atomic_read_u64(&worker->rows);
        in_flight.bytes += pg_atomic_read_u64(&worker->bytes);
    }
    return in_flight;
}

// A row of fastcopy.live_jobs, copied under the lock and turned into a tuple after it.
struct JobLine {
    int64 job;
    Oid owner;
    Oid target;
    job::State state;
    int32 coordinator_pid;
    uint32 workers_wanted;
    core::Progress progress;
    InFlight in_flight;
    uint64 rows;
    TimestampTz started_at;
};

struct WorkerLine {
    int64 job;
    Oid owner;
    job::WorkerSlot slot;
};

// Redraws the bar in ASCII, for databases in other encodings than UTF-8, which may lack its block
// characters. The rest of the line, with the table's name, is in the database's encoding already.
size_t draw_in_ascii(char *line, size_t length) {
    constexpr struct {
        const char utf8[4];
        char ascii;
    } blocks[] = {{"▕", '['}, {"█", '#'}, {"░", '.'}, {"▏", ']'}};
    size_t out = 0;
    for (size_t in = 0; in < length; out++) {
        line[out] = line[in];
        size_t step = 1;
        for (const auto &block : blocks) {
            if (length - in >= 3 && memcmp(line + in, block.utf8, 3) == 0) {
                line[out] = block.ascii;
                step = 3;
            }
        }
        in += step;
    }
    return out;
}

void read_job(JobLine *line, uint32 index) {
    job::JobSlot *slot = job::job_slot(index);
    line->job = slot->job;
    line->owner = slot->owner;
    line->target = slot->target;
    line->state = static_cast<job::State>(pg_atomic_read_u32(&slot->state));
    line->coordinator_pid = slot->coordinator_pid;
    line->workers_wanted = pg_atomic_read_u32(&slot->workers_wanted);
    line->in_flight = count_in_flight(index, slot->generation);
    line->rows = pg_atomic_read_u64(&slot->rows);
    line->started_at = slot->started_at;
    line->progress = core::Progress{
        .chunks = pg_atomic_read_u32(&slot->chunks),
        .chunks_done = pg_atomic_read_u32(&slot->chunks_done),
        .chunks_in_flight = line->in_flight.chunks,
        .bytes_done = pg_atomic_read_u64(&slot->bytes),
        .bytes_in_flight = line->in_flight.bytes,
        .bytes_expected = pg_atomic_read_u64(&slot->bytes_expected),
    };
}

}  // namespace
}  // namespace fastcopy::api

using namespace fastcopy;
using namespace fastcopy::api;

extern "C" {

PG_FUNCTION_INFO_V1(fastcopy_live_jobs);
PG_FUNCTION_INFO_V1(fastcopy_live_workers);
PG_FUNCTION_INFO_V1(fastcopy_progress_line);

// fastcopy.live_jobs() → one row per running job of this database that the role may see
PGDLLEXPORT Datum fastcopy_live_jobs(PG_FUNCTION_ARGS) {
    check_sql_objects();
    ReturnSetInfo *result = pg::begin_set(fcinfo);

    auto *lines = static_cast<JobLine *>(palloc(sizeof(JobLine) * job::slot_count()));
    int count = 0;
    job::lock_registry(LW_SHARED);
    for (uint32 i = 0; i < job::slot_count(); i++) {
        job::JobSlot *slot = job::job_slot(i);
        if (slot->in_use && !slot->abandoned && slot->database == MyDatabaseId && slot->job != 0)
            read_job(&lines[count++], i);
    }
    job::unlock_registry();

    for (int i = 0; i < count; i++) {
        const JobLine &line = lines[i];
        if (!may_see(line.owner))
            continue;
        Datum values[] = {
            Int64GetDatum(line.job),
            ObjectIdGetDatum(line.owner),
            ObjectIdGetDatum(line.target),
            CStringGetTextDatum(job::name_of(line.state)),
            Int32GetDatum(line.coordinator_pid),
            Int32GetDatum(static_cast<int32>(line.in_flight.workers)),
            Int32GetDatum(static_cast<int32>(line.workers_wanted)),
            Int32GetDatum(static_cast<int32>(line.progress.chunks)),
            Int32GetDatum(static_cast<int32>(line.progress.chunks_done)),
            Int32GetDatum(static_cast<int32>(line.in_flight.chunks)),
            Int64GetDatum(static_cast<int64>(line.rows + line.in_flight.rows)),
            Int64GetDatum(static_cast<int64>(line.progress.bytes_done + line.in_flight.bytes)),
            Float8GetDatum(core::fraction(line.progress)),
            TimestampTzGetDatum(line.started_at),
        };
        bool nulls[lengthof(values)] = {};
        tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
    }
    return static_cast<Datum>(0);
}

// fastcopy.live_workers() → one row per running worker of this database that the role may see
PGDLLEXPORT Datum fastcopy_live_workers(PG_FUNCTION_ARGS) {
    check_sql_objects();
    ReturnSetInfo *result = pg::begin_set(fcinfo);

    auto *lines = static_cast<WorkerLine *>(palloc(sizeof(WorkerLine) * job::slot_count()));
    int count = 0;
    job::lock_registry(LW_SHARED);
    for (uint32 i = 0; i < job::slot_count(); i++) {
        job::WorkerSlot *worker = job::worker_slot(i);
        if (!worker->in_use || worker->pid == 0)
            continue;
        job::JobSlot *slot = job::job_slot(worker->job_index);
        if (!slot->in_use || slot->generation != worker->job_generation ||
            slot->database != MyDatabaseId)
            continue;
        lines[count++] = WorkerLine{slot->job, slot->owner, *worker};
    }
    job::unlock_registry();

    for (int i = 0; i < count; i++) {
        WorkerLine &line = lines[i];
        if (!may_see(line.owner))
            continue;
        uint32 chunk = pg_atomic_read_u32(&line.slot.chunk);
        uint32 definition = pg_atomic_read_u32(&line.slot.definition);
        uint32 source_pid = pg_atomic_read_u32(&line.slot.source_pid);
        uint64 rows = pg_atomic_read_u64(&line.slot.rows);
        uint64 bytes = pg_atomic_read_u64(&line.slot.bytes);
        Datum values[] = {
            Int64GetDatum(line.job),
            Int32GetDatum(line.slot.number),
            Int32GetDatum(line.slot.pid),
            Int32GetDatum(static_cast<int32>(source_pid)),
            Int32GetDatum(static_cast<int32>(chunk)),
            Int32GetDatum(static_cast<int32>(definition)),
            Int64GetDatum(static_cast<int64>(rows)),
            Int64GetDatum(static_cast<int64>(bytes)),
            Int32GetDatum(static_cast<int32>(pg_atomic_read_u32(&line.slot.chunks_done))),
            Int64GetDatum(static_cast<int64>(pg_atomic_read_u64(&line.slot.rows_done) + rows)),
            Int64GetDatum(static_cast<int64>(pg_atomic_read_u64(&line.slot.bytes_done) + bytes)),
            Int32GetDatum(static_cast<int32>(pg_atomic_read_u32(&line.slot.chunk_retries))),
            Int32GetDatum(static_cast<int32>(pg_atomic_read_u32(&line.slot.retries))),
            TimestampTzGetDatum(line.slot.started_at),
        };
        bool nulls[lengthof(values)] = {};
        nulls[3] = source_pid == 0;
        nulls[4] = chunk == 0;
        nulls[5] = definition == 0;
        nulls[11] = chunk == 0;
        tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
    }
    return static_cast<Datum>(0);
}

// fastcopy.progress_line(...) → text
PGDLLEXPORT Datum fastcopy_progress_line(PG_FUNCTION_ARGS) {
    text *name = PG_GETARG_TEXT_PP(1);
    text *state = PG_GETARG_TEXT_PP(2);
    double seconds = PG_GETARG_FLOAT8(5);
    core::LineFacts facts{
        .job = PG_GETARG_INT64(0),
        .name = {VARDATA_ANY(name), static_cast<size_t>(VARSIZE_ANY_EXHDR(name))},
        .state = {VARDATA_ANY(state), static_cast<size_t>(VARSIZE_ANY_EXHDR(state))},
        .fraction = PG_GETARG_FLOAT8(3),
        .rows = static_cast<uint64>(PG_GETARG_INT64(4)),
        .rows_per_s = core::rate(static_cast<uint64>(PG_GETARG_INT64(4)), seconds),
        .eta_seconds = core::eta_seconds(PG_GETARG_FLOAT8(3), seconds),
        .elapsed_seconds = seconds,
        .workers = static_cast<uint32>(PG_GETARG_INT32(6)),
        .workers_wanted = static_cast<uint32>(PG_GETARG_INT32(7)),
    };
    char line[1024];
    size_t length = core::format_line(facts, line);
    if (GetDatabaseEncoding() != PG_UTF8)
        length = draw_in_ascii(line, length);
    PG_RETURN_TEXT_P(cstring_to_text_with_len(line, static_cast<int>(length)));
}
}
