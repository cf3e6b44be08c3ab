#include "run/index_builder.hpp"

#include "job/ledger.hpp"
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
    uint32 indexes = pg_atomic_read_u32(&job_slot->indexes);
    int builders = static_cast<int>(Max(Min(wanted, indexes), 1U));
    set_int("maintenance_work_mem", Max(request.maintenance_work_mem_kb / builders, least_kb));
    set_int("max_parallel_maintenance_workers",
            request.max_parallel_maintenance_workers / builders);
}

// Builds the index, unless it is built already. Returns whether this worker has marked it done.
bool build(job::Area *area, const job::Request &request, int32 number) {
    TimestampTz started_at = GetCurrentTimestamp();
    pg::begin_transaction(area->identity);
    take_on_settings(request);
    Oid index = job::ledger::lock_unbuilt_index(area->job, number);
    if (OidIsValid(index)) {
        if (sink::lock_for_build(index) && !sink::is_usable_or_gone(index)) {
            pg::show_activity(psprintf("fastcopy job " INT64_FORMAT " index %d", area->job, number),
                              psprintf("REINDEX INDEX %s", sink::quoted_relation(index)));
            sink::rebuild(index);
        }
        job::ledger::mark_index_done(area->job, number, started_at);
    }
    pg::commit_transaction();
    debug_query_string = nullptr;
    return OidIsValid(index);
}

}  // namespace

void build_indexes(job::JobSlot *job_slot, job::WorkerSlot *me, job::Area *area,
                   const job::Request &request) {
    share_resources(job_slot, request);
    SetConfigOption("synchronous_commit", "on", PGC_USERSET, PGC_S_SESSION);
    for (;;) {
        pg::reload_configuration();
        CHECK_FOR_INTERRUPTS();
        if (pg_atomic_read_u32(&me->retire) != 0)
            break;
        uint32 number = pg_atomic_fetch_add_u32(&job_slot->next_index, 1) + 1;
        if (number > pg_atomic_read_u32(&job_slot->indexes) ||
            pg_atomic_read_u32(&job_slot->stop) != 0)
            break;
        pg_atomic_write_u32(&me->index, number);
        if (build(area, request, static_cast<int32>(number)))
            pg_atomic_fetch_add_u32(&job_slot->indexes_done, 1);
        pg_atomic_write_u32(&me->index, 0);
    }
    pgstat_report_activity(STATE_IDLE, nullptr);
}

}  // namespace fastcopy::run
