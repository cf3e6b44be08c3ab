// fastcopy.sync: copies what was inserted since the last call. run/sync.hpp says how.
#include "run/sync.hpp"
#include "api/access.hpp"
#include "api/arguments.hpp"
#include "api/launch.hpp"
#include "api/lookup.hpp"
#include "api/resume.hpp"
#include "api/sql_objects.hpp"
#include "pg/wait.hpp"
#include "settings.hpp"

namespace fastcopy::api {

namespace {

job::Request read_request(FunctionCallInfo fcinfo) {
    if (PG_ARGISNULL(3))
        raise_null("key");
    job::Request request = read_table_arguments(fcinfo, 4, 3);
    request.triggers = bool_argument(fcinfo, 7, "triggers");
    request.statistics = bool_argument(fcinfo, 8, "statistics");
    request.source_encoding = encoding_argument(fcinfo, 9, "source_encoding");
    request.sequences = bool_argument(fcinfo, 10, "sequences");
    request.wait_for_turn = bool_argument(fcinfo, 11, "wait");
    request.rescan = bool_argument(fcinfo, 12, "rescan");
    request.sync = true;
    request.chunk_size_kb = settings::chunk_size_kb;
    read_job_settings(&request);
    return request;
}

void wait_for_end(int64 job) {
    while (find_live(job).found)
        (void)pg::wait_latch(100);
}

// The run that was not finished, once it has stopped if the request is to wait.
job::ledger::Watermark find_unfinished(const job::Request &request) {
    job::ledger::Watermark unfinished = job::ledger::read_watermark(request, false);
    if (!unfinished.found)
        return unfinished;
    if (request.wait_for_turn)
        wait_for_end(unfinished.job);
    // Again, as a job that is not live by now may have been done in between.
    return find_live(unfinished.job).found ? unfinished
                                           : job::ledger::read_watermark(request, false);
}

[[noreturn]] void raise_forgotten(const job::Request &request) {
    ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                    errmsg("the last run of fastcopy.sync into %s was not finished, and is no "
                           "longer in the ledger",
                           request.only_table().target_table),
                    errhint("%s", run::sync::rescan_hint)));
}

int64 sync_tables(FunctionCallInfo fcinfo) {
    PreventCommandIfReadOnly("fastcopy.sync()");
    PreventCommandDuringRecovery("fastcopy.sync()");
    job::Request request = read_request(fcinfo);
    job::ledger::Watermark unfinished = find_unfinished(request);
    // Its job is removed.
    if (unfinished.found && request.rescan && unfinished.job_state != nullptr) {
        Live live = find_live(unfinished.job);
        (void)require_job(unfinished.job, live, is_owner);
        if (live.found)
            ereport(ERROR, (errcode(ERRCODE_OBJECT_IN_USE),
                            errmsg("fastcopy job " INT64_FORMAT " is running", unfinished.job)));
    }
    if (unfinished.found && !request.rescan) {
        run::sync::check_same(request, unfinished);
        if (unfinished.job_state == nullptr)
            raise_forgotten(request);
        return resume_job(unfinished.job, text_argument(fcinfo, 0, "source"), request.workers,
                          false);
    }
    return launch_new_job(request);
}

}  // namespace

}  // namespace fastcopy::api

extern "C" {

PG_FUNCTION_INFO_V1(fastcopy_sync);

// fastcopy.sync(...) → bigint
PGDLLEXPORT Datum fastcopy_sync(PG_FUNCTION_ARGS) {
    fastcopy::api::check_sql_objects();
    PG_RETURN_INT64(fastcopy::api::sync_tables(fcinfo));
}
}
