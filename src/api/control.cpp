// fastcopy.wait, copy, cancel, set_workers, forget: how a session controls a job.
//
// A running job is found in the registry, an ended one in the ledger. wait() sleeps on the
// condition variable in the job's slot, which is broadcast when the coordinator releases the slot:
// the ledger has the end state by then.
#include "api/arguments.hpp"
#include "api/lookup.hpp"
#include "api/sql_objects.hpp"
#include "api/start.hpp"
#include "api/waiting.hpp"
#include "sink/foreign_keys.hpp"
#include "sink/indexes.hpp"

namespace fastcopy::api {

namespace {

const char *target_name(Oid relid) {
    const char *name = get_rel_name(relid);
    return name != nullptr
               ? quote_qualified_identifier(get_namespace_name(get_rel_namespace(relid)), name)
               : "its target";
}

enum class Rest { ended, timed_out, blocked_by_me };

// Sleeps until the job's coordinator has exited, until `deadline` (0: none), or, with `look`,
// until the job is found to wait for this session.
Rest sleep_until_ended(const Live &live, TimestampTz deadline, bool look) {
    ConditionVariable *ended = &job::job_slot(live.slot.index)->ended;
    Rest rest = Rest::ended;
    ConditionVariablePrepareToSleep(ended);
    while (job::is_live(live.slot)) {
        long timeout = look_every_ms;
        if (deadline != 0) {
            long left = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), deadline);
            if (left <= 0) {
                rest = Rest::timed_out;
                break;
            }
            timeout = Min(timeout, left);
        }
        if (ConditionVariableTimedSleep(ended, timeout, PG_WAIT_EXTENSION) && look &&
            job_waits_for_me(live.slot)) {
            rest = Rest::blocked_by_me;
            break;
        }
    }
    ConditionVariableCancelSleep();
    return rest;
}

// The reported state of a job without a coordinator.
const char *state_at_rest(const job::ledger::JobRow &row) {
    bool running = strcmp(row.state, "copying") == 0 || strcmp(row.state, "indexing") == 0;
    return running ? "interrupted" : row.state;
}

// Waits for the job's end and returns its state; raises a failed job's error. A job that waits for
// this session is an error too; `ours`: cancel it then.
const char *wait_for(int64 job, TimestampTz deadline, bool ours) {
    Live live = find_live(job);
    (void)require_job(job, live, is_owner);
    Rest rest = live.found ? sleep_until_ended(live, deadline, true) : Rest::ended;
    if (rest == Rest::timed_out)
        return job::name_of(
            static_cast<job::State>(pg_atomic_read_u32(&job::job_slot(live.slot.index)->state)));
    if (rest == Rest::blocked_by_me) {
        if (ours && job::cancel_job(live.slot))
            (void)sleep_until_ended(live, 0, false);
        raise_blocked_copy(target_name(live.target));
    }
    job::ledger::JobRow row = job::ledger::read_job(job);
    if (!row.found)
        raise_no_such_job(job);
    if (row.has_error)
        job::ledger::raise_error(job);
    if (row.notice != nullptr)
        ereport(NOTICE, (errmsg_internal("%s", row.notice)));
    return state_at_rest(row);
}

const char *quoted_table_of(Oid index) {
    return target_name(IndexGetRelation(index, true));
}

// An ERROR if indexes are still set aside: the ledger alone has the reason why they are invalid.
void require_no_index_aside(int64 job) {
    ListCell *cell;
    foreach (cell, job::ledger::read_indexes_aside(job)) {
        Oid index = lfirst_oid(cell);
        if (!sink::is_usable_or_gone(index))
            ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                            errmsg("indexes of the target of fastcopy job " INT64_FORMAT
                                   " are still set aside",
                                   job),
                            errhint("Finish the job with fastcopy.resume(" INT64_FORMAT
                                    "), or build them with REINDEX TABLE %s.",
                                    job, quoted_table_of(index))));
    }
}

// The same for foreign keys.
void require_no_foreign_key_aside(int64 job) {
    job::ledger::OpenForeignKeys keys = job::ledger::read_open_foreign_keys(job);
    for (int i = 0; i < keys.count; i++) {
        if (keys.keys[i].set_aside && keys.keys[i].was_valid &&
            sink::is_set_aside(keys.keys[i].oid))
            ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                            errmsg("foreign key \"%s\" of the target of fastcopy job " INT64_FORMAT
                                   " is still set aside",
                                   get_constraint_name(keys.keys[i].oid), job),
                            errhint("Finish the job with fastcopy.resume(" INT64_FORMAT
                                    "), or check the key with ALTER TABLE ... VALIDATE CONSTRAINT.",
                                    job)));
    }
}

void cancel_at_error(int, Datum job) {
    Live live = find_live(DatumGetInt64(job));
    if (live.found)
        (void)job::cancel_job(live.slot);
}

}  // namespace
}  // namespace fastcopy::api

using namespace fastcopy;
using namespace fastcopy::api;

extern "C" {

PG_FUNCTION_INFO_V1(fastcopy_wait);
PG_FUNCTION_INFO_V1(fastcopy_copy);
PG_FUNCTION_INFO_V1(fastcopy_cancel);
PG_FUNCTION_INFO_V1(fastcopy_set_workers);
PG_FUNCTION_INFO_V1(fastcopy_forget);
PG_FUNCTION_INFO_V1(fastcopy_state_now);

// fastcopy.wait(job bigint, timeout interval) → text
PGDLLEXPORT Datum fastcopy_wait(PG_FUNCTION_ARGS) {
    check_sql_objects();
    if (PG_ARGISNULL(0))
        PG_RETURN_NULL();
    TimestampTz deadline = 0;
    if (!PG_ARGISNULL(1))
        deadline = DatumGetTimestampTz(
            DirectFunctionCall2(timestamptz_pl_interval, TimestampTzGetDatum(GetCurrentTimestamp()),
                                PG_GETARG_DATUM(1)));
    PG_RETURN_TEXT_P(cstring_to_text(wait_for(PG_GETARG_INT64(0), deadline, false)));
}

// fastcopy.copy(...) → bigint
PGDLLEXPORT Datum fastcopy_copy(PG_FUNCTION_ARGS) {
    check_sql_objects();
    volatile int64 job = start_job(fcinfo);
    const char *state = nullptr;

    PG_ENSURE_ERROR_CLEANUP(cancel_at_error, Int64GetDatum(job));
    { state = wait_for(job, 0, true); }
    PG_END_ENSURE_ERROR_CLEANUP(cancel_at_error, Int64GetDatum(job));
    if (strcmp(state, "done") != 0)
        ereport(ERROR, (errcode(strcmp(state, "cancelled") == 0 ? ERRCODE_QUERY_CANCELED
                                                                : ERRCODE_OPERATOR_INTERVENTION),
                        errmsg("fastcopy job " INT64_FORMAT " was %s", job, state),
                        errdetail("Chunks that were done by then are in the target.")));
    PG_RETURN_INT64(job::ledger::read_job(job).rows);
}

// fastcopy.cancel(job bigint) → boolean
PGDLLEXPORT Datum fastcopy_cancel(PG_FUNCTION_ARGS) {
    check_sql_objects();
    int64 job = PG_GETARG_INT64(0);
    Live live = find_live(job);
    (void)require_job(job, live, may_steer);
    PG_RETURN_BOOL(live.found && job::cancel_job(live.slot));
}

// fastcopy.set_workers(job bigint, workers integer) → integer
PGDLLEXPORT Datum fastcopy_set_workers(PG_FUNCTION_ARGS) {
    check_sql_objects();
    int64 job = PG_GETARG_INT64(0);
    int workers = PG_GETARG_INT32(1);
    check_workers(workers);
    (void)require_job(job, find_live(job), may_steer);

    bool found = false;
    uint32 former = 0;
    job::lock_registry(LW_SHARED);
    job::JobSlot *slot = job::find_job(job);
    if (slot != nullptr && slot->coordinator_pid != 0) {
        found = true;
        former = pg_atomic_exchange_u32(&slot->workers_wanted, static_cast<uint32>(workers));
        SetLatch(slot->coordinator_latch);
    }
    job::unlock_registry();
    if (!found)
        ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                        errmsg("fastcopy job " INT64_FORMAT " is not running", job)));
    PG_RETURN_INT32(static_cast<int32>(former));
}

// fastcopy.forget(job bigint)
PGDLLEXPORT Datum fastcopy_forget(PG_FUNCTION_ARGS) {
    check_sql_objects();
    int64 job = PG_GETARG_INT64(0);
    Live live = find_live(job);
    (void)require_job(job, live, is_owner);
    if (live.found)
        ereport(ERROR, (errcode(ERRCODE_OBJECT_IN_USE),
                        errmsg("fastcopy job " INT64_FORMAT " is running", job),
                        errhint("Cancel it first, or wait for its end.")));
    require_no_index_aside(job);
    require_no_foreign_key_aside(job);
    job::ledger::remove_job(job);
    PG_RETURN_VOID();
}

// fastcopy.state_now(job bigint) → text; NULL for a job that the role may not see
PGDLLEXPORT Datum fastcopy_state_now(PG_FUNCTION_ARGS) {
    int64 job = PG_GETARG_INT64(0);
    // The registry first: a job that is not live has ended before the ledger is read.
    Live live = find_live(job);
    job::ledger::JobRow row = job::ledger::read_job(job);
    if (!row.found || !may_see(row.owner))
        PG_RETURN_NULL();
    PG_RETURN_TEXT_P(cstring_to_text(live.found ? row.state : state_at_rest(row)));
}
}
