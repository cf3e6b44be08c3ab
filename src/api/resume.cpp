// A resumed job still runs as the role that started it, whichever member of that role or superuser
// resumes it. The source comes from the ledger, which has no password, or is given anew. Its
// credentials are those of the role that has given it: a job's owner cannot use the server's
// credentials because a superuser resumes the job.
#include "api/resume.hpp"

#include "api/arguments.hpp"
#include "api/launch.hpp"
#include "api/lookup.hpp"
#include "api/sql_objects.hpp"

namespace fastcopy::api {

namespace {

using job::ledger::ResumeState;

void check_owner(int64 job, const ResumeState &former) {
    if (!SearchSysCacheExists1(AUTHOID, ObjectIdGetDatum(former.owner)))
        ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
                        errmsg("cannot resume fastcopy job " INT64_FORMAT, job),
                        errdetail("The role that it ran as was dropped.")));
    // Members of a superuser role are no superusers.
    if (superuser_arg(former.owner) && !superuser())
        ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
                        errmsg("permission denied to resume fastcopy job " INT64_FORMAT, job),
                        errdetail("Only superusers may resume a job that runs as a superuser.")));
}

void check_state(int64 job, const ResumeState &former) {
    job::ledger::raise_if_done(job, former);
    for (int i = 0; i < former.ntables; i++) {
        const job::ledger::ResumeTable &table = former.tables[i];
        if (!SearchSysCacheExists1(RELOID, ObjectIdGetDatum(table.target)))
            ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE),
                            errmsg("cannot resume fastcopy job " INT64_FORMAT, job),
                            errdetail("Its target table %s was dropped.", table.target_table)));
    }
}

job::Request make_request(int64 job, const ResumeState &former, int workers, bool accept_changes) {
    job::Request request{};
    request.ntables = former.ntables;
    request.tables =
        static_cast<job::Table *>(palloc0(sizeof(job::Table) * Max(former.ntables, 1)));
    for (int i = 0; i < former.ntables; i++)
        request.tables[i] = job::Table{.source_table = former.tables[i].source_table,
                                       .target_table = former.tables[i].target_table,
                                       .target = former.tables[i].target,
                                       .key = nullptr,
                                       .filter = nullptr,
                                       .ncolumns = -1,
                                       .columns = nullptr};
    request.workers = workers != 0 ? workers : former.workers;
    request.rebuild_indexes = former.rebuild_indexes;
    request.triggers = former.triggers;
    request.statistics = former.statistics;
    request.source_encoding = former.source_encoding;
    request.sequences = former.sequences;
    request.clone = former.clone;
    request.create = former.create;
    read_job_settings(&request);
    request.settings = job::ledger::read_settings(job);
    request.resumed_job = job;
    request.accept_changes = accept_changes;
    return request;
}

}  // namespace

int64 resume_job(int64 job, const char *source, int workers, bool accept_changes) {
    Live live = find_live(job);
    (void)require_job(job, live, is_owner);
    if (live.found)
        ereport(ERROR, (errcode(ERRCODE_OBJECT_IN_USE),
                        errmsg("fastcopy job " INT64_FORMAT " is running", job)));
    ResumeState former = job::ledger::read_resume_state(job);
    check_owner(job, former);
    check_state(job, former);
    job::Request request = make_request(job, former, workers, accept_changes);
    if (source != nullptr)
        set_source(&request, source);

    // Resolve the source as the owner. An error restores the caller.
    Oid caller;
    int context;
    GetUserIdAndSecContext(&caller, &context);
    SetUserIdAndSecContext(former.owner, context | SECURITY_LOCAL_USERID_CHANGE);
    if (source == nullptr)
        set_source(&request, former.source);
    pg::Identity identity = pg::current_identity();
    SetUserIdAndSecContext(caller, context);
    return launch_job(request, identity);
}

}  // namespace fastcopy::api

extern "C" {

PG_FUNCTION_INFO_V1(fastcopy_resume);

// fastcopy.resume(job bigint, source text, workers integer, accept_changes boolean) → bigint
PGDLLEXPORT Datum fastcopy_resume(PG_FUNCTION_ARGS) {
    using namespace fastcopy::api;
    check_sql_objects();
    PreventCommandIfReadOnly("fastcopy.resume()");
    PreventCommandDuringRecovery("fastcopy.resume()");
    if (PG_ARGISNULL(0))
        PG_RETURN_NULL();
    const char *source = PG_ARGISNULL(1) ? nullptr : text_to_cstring(PG_GETARG_TEXT_PP(1));
    int workers = PG_ARGISNULL(2) ? 0 : PG_GETARG_INT32(2);
    if (!PG_ARGISNULL(2))
        check_workers(workers);
    bool accept_changes = !PG_ARGISNULL(3) && PG_GETARG_BOOL(3);
    PG_RETURN_INT64(resume_job(PG_GETARG_INT64(0), source, workers, accept_changes));
}
}
