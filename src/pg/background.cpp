#include "pg/background.hpp"

#include "pg/signals.hpp"

namespace fastcopy::pg {

BackgroundWorker describe(const char *type, const char *name, const char *entry_function,
                          BgWorkerStartTime start_time) {
    BackgroundWorker worker{};
    worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
    worker.bgw_start_time = start_time;
    worker.bgw_restart_time = BGW_NEVER_RESTART;
    strlcpy(worker.bgw_library_name, "pg_fastcopy", BGW_MAXLEN);
    strlcpy(worker.bgw_function_name, entry_function, BGW_MAXLEN);
    strlcpy(worker.bgw_type, type, BGW_MAXLEN);
    strlcpy(worker.bgw_name, name, BGW_MAXLEN);
    return worker;
}

bool launch(const char *type, const char *name, const char *entry_function, Datum argument,
            BgWorkerStartTime start_time, BackgroundWorkerHandle **handle) {
    BackgroundWorker worker = describe(type, name, entry_function, start_time);
    worker.bgw_main_arg = argument;
    worker.bgw_notify_pid = MyProcPid;
    return RegisterDynamicBackgroundWorker(&worker, handle);
}

void raise_no_worker_slot() {
    ereport(ERROR, (errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
                    errmsg("out of background worker slots"),
                    errhint("Wait for other background workers to exit, or increase "
                            "max_worker_processes.")));
}

void warn_of_fewer_workers(int launched, int wanted) {
    ereport(WARNING, (errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
                      errmsg("only %d of %d workers could be started", launched, wanted),
                      errdetail("The server is out of background worker slots."),
                      errhint("Wait for other background workers to exit, or increase "
                              "max_worker_processes.")));
}

void install_signal_handlers() {
    pqsignal(SIGTERM, die);
    heed_cancels();
    pqsignal(SIGHUP, SignalHandlerForConfigReload);
    BackgroundWorkerUnblockSignals();
}

bool guarded(const Frame &frame, void (*body)(), int *sqlerrcode) {
    watch_fatal(frame.report, frame.chunk, frame.reports_terminations);
    MemoryContext context =
        AllocSetContextCreate(TopMemoryContext, "fastcopy process", ALLOCSET_DEFAULT_SIZES);
    MemoryContextSetIdentifier(context, frame.name);
    MemoryContextSwitchTo(context);
    connect_as(*frame.identity);
    volatile bool passed = true;
    volatile int failure = 0;
    PG_TRY();
    {
        MemoryContextSwitchTo(context);
        body();
    }
    PG_CATCH();
    {
        MemoryContextSwitchTo(context);
        ErrorData *error = CopyErrorData();
        record(frame.report, error, *frame.chunk);
        passed = false;
        failure = error->sqlerrcode;
        if (*frame.logs_errors)
            EmitErrorReport();
        FlushErrorState();
        debug_query_string = nullptr;
        abort_transaction();
        MemoryContextSwitchTo(context);
    }
    PG_END_TRY();
    *sqlerrcode = failure;
    return passed;
}

void reload_configuration() {
    if (!ConfigReloadPending)
        return;
    ConfigReloadPending = false;
    ProcessConfigFile(PGC_SIGHUP);
}

void show_activity(const char *application_name, const char *statement) {
    // Log lines repeat it for as long as it is set, which may be beyond the caller's memory
    // context.
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

}  // namespace fastcopy::pg
