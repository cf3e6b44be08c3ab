#include "run/definition_maker.hpp"

#include "job/ledger.hpp"
#include "sink/definition_sql.hpp"
#include "sink/indexes.hpp"
#include "sink/local_sql.hpp"

namespace fastcopy::run {

namespace {

void set_int(const char *name, int value) {
    SetConfigOption(name, psprintf("%d", value), PGC_USERSET, PGC_S_SESSION);
}

void share_resources(job::JobSlot *job_slot, const job::Request &request) {
    constexpr int least_kb = 1024;  // of maintenance_work_mem
    uint32 wanted = pg_atomic_read_u32(&job_slot->workers_wanted);
    uint32 most = pg_atomic_read_u32(&job_slot->most_makers);
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

// Makes it, unless it is made already. Returns whether this worker has marked it done.
bool make(job::Area *area, const job::Request &request, int32 number) {
    TimestampTz started_at = GetCurrentTimestamp();
    pg::begin_transaction(area->identity);
    take_on_settings(request);
    job::ledger::UndoneDefinition undone = job::ledger::lock_undone(area->job, number);
    const job::Definition &definition = undone.definition;
    if (undone.found && OidIsValid(definition.index)) {
        rebuild_index(area, number, definition.index);
    } else if (undone.found) {
        pg::show_activity(
            psprintf("fastcopy job " INT64_FORMAT " definition %d", area->job, number),
            definition.sql);
        int nest_level = sink::begin_definitions();
        sink::run_definition(definition.kind, definition.name, definition.sql);
        sink::end_definitions(nest_level);
    }
    if (undone.found)
        job::ledger::mark_definition_done(area->job, number, started_at);
    pg::commit_transaction();
    debug_query_string = nullptr;
    return undone.found;
}

}  // namespace

void make_definitions(job::JobSlot *job_slot, job::WorkerSlot *me, job::Area *area,
                      const job::Request &request) {
    share_resources(job_slot, request);
    // A crash forgets definition and mark together; the job's end is written synchronously.
    if (!request.create)
        SetConfigOption("synchronous_commit", "on", PGC_USERSET, PGC_S_SESSION);
    for (;;) {
        pg::reload_configuration();
        CHECK_FOR_INTERRUPTS();
        if (pg_atomic_read_u32(&me->retire) != 0)
            break;
        uint32 number = pg_atomic_fetch_add_u32(&job_slot->next_definition, 1) + 1;
        if (number > pg_atomic_read_u32(&job_slot->last_definition) ||
            pg_atomic_read_u32(&job_slot->stop) != 0)
            break;
        pg_atomic_write_u32(&me->definition, number);
        if (make(area, request, static_cast<int32>(number)))
            pg_atomic_fetch_add_u32(&job_slot->definitions_done, 1);
        pg_atomic_write_u32(&me->definition, 0);
    }
    pgstat_report_activity(STATE_IDLE, nullptr);
}

}  // namespace fastcopy::run
