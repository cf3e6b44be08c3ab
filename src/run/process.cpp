#include "run/process.hpp"

#include <signal.h>

namespace fastcopy::run {

bool launch(const char *type, const char *name, const char *entry_function, Datum argument,
            BgWorkerStartTime start_time, BackgroundWorkerHandle **handle) {
    BackgroundWorker worker{};
    worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
    worker.bgw_start_time = start_time;
    worker.bgw_restart_time = BGW_NEVER_RESTART;
    strlcpy(worker.bgw_library_name, "pg_fastcopy", BGW_MAXLEN);
    strlcpy(worker.bgw_function_name, entry_function, BGW_MAXLEN);
    strlcpy(worker.bgw_type, type, BGW_MAXLEN);
    strlcpy(worker.bgw_name, name, BGW_MAXLEN);
    worker.bgw_main_arg = argument;
    worker.bgw_notify_pid = MyProcPid;
    return RegisterDynamicBackgroundWorker(&worker, handle);
}

bool launch(const char *type, const char *name, const char *entry_function, job::SlotRef slot,
            BackgroundWorkerHandle **handle) {
    return launch(type, name, entry_function, job::to_datum(slot), BgWorkerStart_RecoveryFinished,
                  handle);
}

source::Trust trust_of(const job::Request &request) {
    return request.password_required ? source::Trust::own_password_only : source::Trust::superuser;
}

void raise_unresolved(int32 chunk, const char *target_table, const char *why) {
    ereport(ERROR,
            (errcode(ERRCODE_TRANSACTION_RESOLUTION_UNKNOWN),
             errmsg("it is not known whether the rows of chunk %d were stored", chunk),
             errdetail("The commit of foreign tables of %s has failed: %s", target_table, why),
             errhint("Look for these rows, and remove them, before you resume the job with "
                     "accept_changes => true, which copies the chunk again.")));
}

void install_signal_handlers() {
    pqsignal(SIGTERM, die);
    pqsignal(SIGINT, StatementCancelHandler);
    pqsignal(SIGHUP, SignalHandlerForConfigReload);
    BackgroundWorkerUnblockSignals();
}

void take_on_settings(const job::Request &request) {
    auto set = [](const char *name, const char *value) {
        SetConfigOption(name, value, PGC_USERSET, PGC_S_SESSION);
    };
    pg::apply(request.settings);
    set("client_encoding", GetDatabaseEncodingName());
    // Timeouts are for those who wait for an answer, even where they are the role's.
    set("lock_timeout", "0");
    if (!request.triggers)
        SetConfigOption("session_replication_role", "replica",
                        superuser() ? PGC_SUSET : PGC_USERSET, PGC_S_SESSION);
}

void reload_configuration() {
    if (!ConfigReloadPending)
        return;
    ConfigReloadPending = false;
    ProcessConfigFile(PGC_SIGHUP);
}

void show_activity(const char *application_name, const char *statement) {
    // Log lines repeat it for as long as it is set, which may be beyond the caller's memory context.
    static char shown[1024];
    size_t length = strlen(statement);
    if (length >= sizeof(shown))
        length = pg_mbcliplen(statement, static_cast<int>(length), sizeof(shown) - 1);
    memcpy(shown, statement, length);
    shown[length] = '\0';
    SetConfigOption("application_name", application_name, PGC_USERSET, PGC_S_SESSION);
    debug_query_string = shown;
    pgstat_report_activity(STATE_RUNNING, shown);
}

}  // namespace fastcopy::run
