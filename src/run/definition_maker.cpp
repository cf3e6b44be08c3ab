#include "run/definition_maker.hpp"

#include "job/ledger.hpp"
#include "run/retry.hpp"
#include "sink/definition_sql.hpp"
#include "sink/indexes.hpp"
#include "sink/local_sql.hpp"

namespace fastcopy::run {

namespace {

void set_int(const char *name, int value) {
    SetConfigOption(name, psprintf("%d", value), PGC_USERSET, PGC_S_SESSION);
}

void share_resources(job::JobSlot *job_slot, const job::Request &request, uint32 most) {
    constexpr int least_kb = 1024;  // of maintenance_work_mem
    uint32 wanted = pg_atomic_read_u32(&job_slot->workers_wanted);
    int makers = static_cast<int>(Max(Min(wanted, most), 1U));
    set_int("maintenance_work_mem", Max(request.maintenance_work_mem_kb / makers, least_kb));
    set_int("max_parallel_maintenance_workers", request.max_parallel_maintenance_workers / makers);
}

void rebuild_index(job::Area *area, int32 number, Oid index) {
    if (!sink::lock_for_build(index) || sink::is_usable_or_gone(index))
        return;
    pg::show_activity(psprintf("fastcopy job " INT64_FORMAT " index %d", area->job, number),
                      psprintf("REINDEX INDEX %s", sink::quoted_relation(index)));
    sink::rebuild(index);
}

// Claims and makes the next definition of the stage and, if one is given, of the table, in one
// transaction. False if there is none.
bool try_next(job::JobSlot *job_slot, job::WorkerSlot *me, job::Area *area,
              const job::Request &request, job::Stage stage, int32 table) {
    TimestampTz started_at = GetCurrentTimestamp();
    pg::begin_transaction(area->identity);
    take_on_settings(request);
    job::ledger::ClaimedDefinition claimed = job::ledger::claim_definition(area->job, stage, table);
    const job::Definition &definition = claimed.definition;
    pg_atomic_write_u32(&me->definition, static_cast<uint32>(claimed.number));
    if (claimed.number != 0) {
        if (OidIsValid(definition.index)) {
            rebuild_index(area, claimed.number, definition.index);
        } else {
            pg::show_activity(
                psprintf("fastcopy job " INT64_FORMAT " definition %d", area->job, claimed.number),
                definition.sql);
            int nest_level = sink::begin_definitions();
            sink::run_definition(definition.kind, definition.name, definition.sql);
            sink::end_definitions(nest_level);
        }
        job::ledger::mark_definition_done(area->job, claimed.number, started_at);
    }
    pg::commit_transaction();
    debug_query_string = nullptr;
    if (claimed.number != 0)
        pg_atomic_fetch_add_u32(&job_slot->definitions_done, 1);
    pg_atomic_write_u32(&me->definition, 0);
    return claimed.number != 0;
}

// Rolls a failed attempt back; logs the error.
void recover_from(job::WorkerSlot *me, const job::Area *area, ErrorData *error,
                  MemoryContext context) {
    FlushErrorState();
    debug_query_string = nullptr;
    pg::abort_transaction();
    MemoryContextSwitchTo(context);
    pg::report_caught(LOG, error,
                      psprintf("fastcopy job " INT64_FORMAT " will retry definition %u", area->job,
                               pg_atomic_read_u32(&me->definition)));
    FreeErrorData(error);
    pg_atomic_write_u32(&me->definition, 0);
    pg_atomic_fetch_add_u32(&me->retries, 1);
}

// False if that failed, was rolled back and may be retried. A lost connection is of something that the
// definition runs, which may have had effects: that is not retried.
bool attempt(job::JobSlot *job_slot, job::WorkerSlot *me, job::Area *area,
             const job::Request &request, job::Stage stage, int32 table, int retries_left,
             bool *made) {
    MemoryContext context = CurrentMemoryContext;
    volatile bool done = false;
    PG_TRY();
    {
        *made = try_next(job_slot, me, area, request, stage, table);
        done = true;
    }
    PG_CATCH();
    {
        MemoryContextSwitchTo(context);
        ErrorData *error = CopyErrorData();
        if (retries_left <= 0 || !retry::is_transient(error->sqlerrcode) ||
            retry::is_of_connection(error->sqlerrcode))
            PG_RE_THROW();
        recover_from(me, area, error, context);
    }
    PG_END_TRY();
    return done;
}

// The same with retries. Another worker may take what has failed here: the limit is for failures of
// this worker in a row.
bool make_next(job::JobSlot *job_slot, job::WorkerSlot *me, job::Area *area,
               const job::Request &request, job::Stage stage, int32 table) {
    bool made = true;
    for (int retries = 0;
         !attempt(job_slot, me, area, request, stage, table, request.retry_limit - retries, &made);
         retries++) {
        retry::back_off(request.retry_delay_ms, retries);
        if (pg_atomic_read_u32(&me->retire) != 0 || pg_atomic_read_u32(&job_slot->stop) != 0)
            return true;
    }
    return made;
}

}  // namespace

void make_definitions(job::JobSlot *job_slot, job::WorkerSlot *me, job::Area *area,
                      const job::Request &request) {
    auto stage = static_cast<job::Stage>(pg_atomic_read_u32(&job_slot->stage));
    share_resources(job_slot, request, pg_atomic_read_u32(&job_slot->most_makers));
    // A crash forgets definition and mark together; the job's end is written synchronously.
    if (!request.create)
        SetConfigOption("synchronous_commit", "on", PGC_USERSET, PGC_S_SESSION);
    for (;;) {
        pg::reload_configuration();
        CHECK_FOR_INTERRUPTS();
        if (pg_atomic_read_u32(&me->retire) != 0 || pg_atomic_read_u32(&job_slot->stop) != 0)
            break;
        if (!make_next(job_slot, me, area, request, stage, 0)) {
            pg_atomic_write_u32(&job_slot->stage_exhausted, 1);
            break;
        }
    }
    pgstat_report_activity(STATE_IDLE, nullptr);
}

bool make_definition_of(job::JobSlot *job_slot, job::WorkerSlot *me, job::Area *area,
                        const job::Request &request, int32 table) {
    share_resources(job_slot, request, pg_atomic_read_u32(&job_slot->workers_wanted));
    return make_next(job_slot, me, area, request, job::Stage::tables, table);
}

}  // namespace fastcopy::run
