#include "run/process.hpp"

namespace fastcopy::run {

bool launch(const char *type, const char *name, const char *entry_function, job::SlotRef slot,
            BackgroundWorkerHandle **handle) {
    return pg::launch(type, name, entry_function, job::to_datum(slot),
                      BgWorkerStart_RecoveryFinished, handle);
}

void raise_unresolved(int32 chunk, const char *target_table, const char *why) {
    ereport(ERROR, (errcode(ERRCODE_TRANSACTION_RESOLUTION_UNKNOWN),
                    errmsg("it is not known whether the rows of chunk %d were stored", chunk),
                    errdetail("The commit of foreign tables of %s failed: %s", target_table, why),
                    errhint("Look for these rows, and remove them, before you resume the job with "
                            "accept_changes => true, which copies the chunk again.")));
}

void take_on_settings(const job::Request &request) {
    auto set = [](const char *name, const char *value) {
        SetConfigOption(name, value, PGC_USERSET, PGC_S_SESSION);
    };
    pg::apply(request.settings);
    set("client_encoding", GetDatabaseEncodingName());
    // A timeout of the role is meant for its sessions, not for background processes.
    set("lock_timeout", "0");
    if (!request.triggers)
        SetConfigOption("session_replication_role", "replica",
                        superuser() ? PGC_SUSET : PGC_USERSET, PGC_S_SESSION);
}

}  // namespace fastcopy::run
