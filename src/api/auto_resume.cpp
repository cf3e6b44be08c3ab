#include "api/auto_resume.hpp"

#include "api/resume.hpp"
#include "api/sql_objects.hpp"
#include "job/ledger.hpp"
#include "pg/background.hpp"
#include "pg/wait.hpp"
#include "settings.hpp"
#include "source/foreign_server.hpp"

namespace fastcopy::api {

namespace {

constexpr const char *launcher_type = "fastcopy launcher";
constexpr const char *resumer_type = "fastcopy resumer";

struct Databases {
    int count;
    Oid *oids;
};

Databases connectable_databases(MemoryContext context) {
    Databases databases{};
    StartTransactionCommand();
    (void)GetTransactionSnapshot();
    Relation catalog = table_open(DatabaseRelationId, AccessShareLock);
    TableScanDesc scan = table_beginscan_catalog(catalog, 0, nullptr);
    int capacity = 0;
    while (HeapTuple tuple = heap_getnext(scan, ForwardScanDirection)) {
        auto *form = reinterpret_cast<Form_pg_database>(GETSTRUCT(tuple));
        if (!form->datallowconn)
            continue;
        if (databases.count == capacity) {
            capacity = Max(16, capacity * 2);
            Size size = sizeof(Oid) * capacity;
            databases.oids =
                static_cast<Oid *>(databases.oids == nullptr ? MemoryContextAlloc(context, size)
                                                             : repalloc(databases.oids, size));
        }
        databases.oids[databases.count++] = form->oid;
    }
    table_endscan(scan);
    table_close(catalog, AccessShareLock);
    CommitTransactionCommand();
    return databases;
}

// Starts a helper for the database, and waits for its end. If no slot is free, the database is
// skipped.
void look_into(Oid database) {
    BackgroundWorkerHandle *handle;
    if (!pg::launch(resumer_type, resumer_type, "fastcopy_resumer_main", ObjectIdGetDatum(database),
                    BgWorkerStart_RecoveryFinished, &handle)) {
        ereport(WARNING,
                (errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
                 errmsg("could not look for interrupted fastcopy jobs in database with OID %u",
                        database),
                 errdetail("The server is out of background worker slots."),
                 errhint("Increase max_worker_processes.")));
        return;
    }
    (void)WaitForBackgroundWorkerShutdown(handle);
    pfree(handle);
}

// The maximum number of consecutive resumes without a chunk done.
constexpr int most_vain_resumes = 3;

struct Interrupted {
    int count;
    int64 *jobs;
};

Interrupted interrupted_jobs(MemoryContext context) {
    Interrupted found{};
    pg::begin_ledger_transaction();
    if (OidIsValid(get_extension_oid("pg_fastcopy", true))) {
        check_sql_objects();
        MemoryContext old = MemoryContextSwitchTo(context);
        found.jobs = job::ledger::unfinished_jobs(most_vain_resumes, &found.count);
        MemoryContextSwitchTo(old);
    }
    pg::commit_transaction();
    return found;
}

void resume_as_owner(int64 job) {
    pg::begin_ledger_transaction();
    job::ledger::ResumeState former = job::ledger::read_resume_state(job);
    if (source::is_server_name(former.source)) {
        // Workers of a role that cannot log in would connect as the session user, here a superuser.
        if (!pg::may_log_in(former.owner))
            ereport(ERROR, (errcode(ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION),
                            errmsg("role of the job cannot log in")));
        SetUserIdAndSecContext(former.owner, SECURITY_LOCAL_USERID_CHANGE);
        (void)resume_job(job, nullptr, 0, false);
        ereport(LOG, (errmsg("fastcopy job " INT64_FORMAT " was resumed", job)));
    }
    pg::commit_transaction();
}

void try_to_resume(int64 job) {
    MemoryContext context = CurrentMemoryContext;
    PG_TRY();
    { resume_as_owner(job); }
    PG_CATCH();
    {
        MemoryContextSwitchTo(context);
        ErrorData *error = CopyErrorData();
        FlushErrorState();
        pg::abort_transaction();
        MemoryContextSwitchTo(context);
        pg::report_caught(LOG, error,
                          psprintf("fastcopy job " INT64_FORMAT " could not be resumed", job));
        FreeErrorData(error);
    }
    PG_END_TRY();
}

}  // namespace

void register_launcher() {
    BackgroundWorker worker = pg::describe(launcher_type, launcher_type, "fastcopy_launcher_main",
                                           BgWorkerStart_RecoveryFinished);
    worker.bgw_restart_time = 60;
    RegisterBackgroundWorker(&worker);
}

}  // namespace fastcopy::api

void fastcopy_launcher_main(Datum) {
    using namespace fastcopy;
    using namespace fastcopy::api;

    pg::install_signal_handlers();
    // Without a database: shared catalogs suffice.
    BackgroundWorkerInitializeConnection(nullptr, nullptr, 0);
    CurrentMemoryContext =
        AllocSetContextCreate(TopMemoryContext, "fastcopy launcher", ALLOCSET_DEFAULT_SIZES);
    if (settings::auto_resume) {
        Databases databases = connectable_databases(CurrentMemoryContext);
        for (int i = 0; i < databases.count; i++)
            look_into(databases.oids[i]);
    }
    for (;;)
        (void)pg::wait_latch();
}

void fastcopy_resumer_main(Datum database) {
    using namespace fastcopy;
    using namespace fastcopy::api;

    pg::install_signal_handlers();
    // As the bootstrap superuser, to see all jobs.
    BackgroundWorkerInitializeConnectionByOid(DatumGetObjectId(database), InvalidOid, 0);
    CurrentMemoryContext =
        AllocSetContextCreate(TopMemoryContext, "fastcopy resumer", ALLOCSET_DEFAULT_SIZES);
    MemoryContext context = CurrentMemoryContext;
    Interrupted jobs = interrupted_jobs(context);
    for (int i = 0; i < jobs.count; i++) {
        MemoryContextSwitchTo(context);
        try_to_resume(jobs.jobs[i]);
    }
}
