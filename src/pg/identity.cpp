#include "pg/identity.hpp"

namespace fastcopy::pg {

bool may_log_in(Oid role) {
    HeapTuple tuple = SearchSysCache1(AUTHOID, ObjectIdGetDatum(role));
    if (!HeapTupleIsValid(tuple))
        ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
                        errmsg("role with OID %u does not exist", role)));
    bool result = reinterpret_cast<Form_pg_authid>(GETSTRUCT(tuple))->rolcanlogin;
    ReleaseSysCache(tuple);
    return result;
}

namespace {

// Makes the identity's role the current one, in a transaction that has just begun.
void take_on(const Identity &identity) {
    if (!SearchSysCacheExists1(AUTHOID, ObjectIdGetDatum(identity.role)))
        ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
                        errmsg("role with OID %u does not exist", identity.role),
                        errdetail("The role was dropped while its job was running.")));
    // Always, not only for a role that cannot log in: ALTER ROLE ... SET role makes another the
    // current one.
    SetUserIdAndSecContext(identity.role,
                           identity.role != identity.login ? SECURITY_LOCAL_USERID_CHANGE : 0);
}

}  // namespace

Identity current_identity() {
    Oid role = GetUserId();
    Oid login = may_log_in(role) ? role : GetAuthenticatedUserId();
    // Background processes, such as pg_cron's, have no authenticated role: fall back to the
    // session's role.
    if (!OidIsValid(login))
        login = GetSessionUserId();
    return Identity{MyDatabaseId, login, role};
}

void connect_as(const Identity &identity) {
    BackgroundWorkerInitializeConnectionByOid(identity.database, identity.login, 0);
    // Override the role's defaults: the caller's transaction has checked that it may write, and
    // under SERIALIZABLE the processes that write the ledger's rows would conflict.
    SetConfigOption("default_transaction_read_only", "off", PGC_USERSET, PGC_S_SESSION);
    SetConfigOption("default_transaction_isolation", "read committed", PGC_USERSET, PGC_S_SESSION);
#if PG_VERSION_NUM >= 170000
    // The one timeout that applies to background processes too.
    SetConfigOption("transaction_timeout", "0", PGC_USERSET, PGC_S_SESSION);
#endif
}

void begin_ledger_transaction() {
    SetCurrentStatementStartTimestamp();
    StartTransactionCommand();
    PushActiveSnapshot(GetTransactionSnapshot());
}

void begin_transaction(const Identity &identity) {
    SetCurrentStatementStartTimestamp();
    StartTransactionCommand();
    take_on(identity);
    PushActiveSnapshot(GetTransactionSnapshot());
}

void begin_reading(const Identity &identity) {
    SetCurrentStatementStartTimestamp();
    StartTransactionCommand();
    XactIsoLevel = XACT_REPEATABLE_READ;
    XactReadOnly = true;
    take_on(identity);
}

void take_snapshot(const char *exported) {
    if (exported != nullptr)
        ImportSnapshot(exported);
    PushActiveSnapshot(GetTransactionSnapshot());
}

void commit_transaction() {
    PopActiveSnapshot();
    // Deferred triggers fire in here, still as the job's role.
    CommitTransactionCommand();
    SetUserIdAndSecContext(GetSessionUserId(), 0);
    pgstat_report_stat(false);
}

void abort_transaction() {
    AbortCurrentTransaction();
    pgstat_report_stat(false);
}

}  // namespace fastcopy::pg
