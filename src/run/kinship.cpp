#include "run/kinship.hpp"

namespace fastcopy::run {

namespace {

// Whether what happens to the target happens to the source's tables too.
enum class Kinship { none, same_server, standby };

// True if the source is this server: it can see a lock that only this process holds.
bool source_is_here(RunningJob *job) {
    int32 token = static_cast<int32>(MyProcPid ^ static_cast<int32>(GetCurrentTimestamp()));
    LOCKTAG tag;
    SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, static_cast<uint32>(token),
                         static_cast<uint32>(MyProcPid), 2);
    (void)LockAcquire(&tag, ShareLock, false, false);
    source::Rows rows = source::query(
        job->connection,
        psprintf("SELECT FROM pg_catalog.pg_locks WHERE locktype = 'advisory' AND pid = %d"
                 " AND classid = %u AND objid = %u",
                 MyProcPid, static_cast<uint32>(token), static_cast<uint32>(MyProcPid)));
    (void)LockRelease(&tag, ShareLock, false);
    return rows.count > 0;
}

// True if the source replays this server's WAL. A standby whose system identifier the role may not
// read counts as one: the locks of its session decide then.
bool source_is_our_standby(RunningJob *job) {
    source::Rows rows =
        source::query(job->connection,
                      "SELECT pg_catalog.pg_is_in_recovery(), pg_catalog.has_function_privilege("
                      "'pg_catalog.pg_control_system()', 'EXECUTE')");
    if (rows.at(0, 0)[0] != 't')
        return false;
    if (rows.at(0, 1)[0] != 't')
        return true;
    rows = source::query(job->connection,
                         "SELECT system_identifier FROM pg_catalog.pg_control_system()");
    return strcmp(rows.at(0, 0), psprintf(UINT64_FORMAT, GetSystemIdentifier())) == 0;
}

Kinship kinship_of_source(RunningJob *job) {
    if (source_is_here(job))
        return Kinship::same_server;
    return source_is_our_standby(job) ? Kinship::standby : Kinship::none;
}

// The target that the source's session has locked, or InvalidOid.
Oid find_locked_target(RunningJob *job) {
    StringInfoData relids;
    initStringInfo(&relids);
    for (int i = 0; i < job->request.ntables; i++) {
        ListCell *cell;
        foreach (cell, find_all_inheritors(job->request.tables[i].target, NoLock, nullptr))
            appendStringInfo(&relids, "%s('%u'::pg_catalog.oid, '%u'::pg_catalog.oid)",
                             relids.len > 0 ? ", " : "", job->request.tables[i].target,
                             lfirst_oid(cell));
    }
    source::Rows rows = source::query(
        job->connection,
        psprintf("SELECT f.target FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_database d"
                 " ON d.oid = l.database AND d.datname = pg_catalog.current_database()"
                 " JOIN (VALUES %s) f(target, member) ON f.member = l.relation"
                 " WHERE l.locktype = 'relation' AND l.pid = pg_catalog.pg_backend_pid()"
                 " AND %u = d.oid ORDER BY f.target LIMIT 1",
                 relids.data, MyDatabaseId));
    return rows.count > 0 ? static_cast<Oid>(rows.number_at(0, 0, 0, PG_UINT32_MAX)) : InvalidOid;
}

}  // namespace

void refuse_to_lock_source(RunningJob *job) {
    Kinship kinship = kinship_of_source(job);
    if (kinship == Kinship::none)
        return;
    Oid locked = find_locked_target(job);
    if (!OidIsValid(locked))
        return;
    const char *name = job::name_of_targets(job->request);
    for (int i = 0; i < job->request.ntables; i++) {
        if (job->request.tables[i].target == locked)
            name = job->request.tables[i].target_table;
    }
    ereport(
        ERROR,
        (errcode(ERRCODE_OBJECT_IN_USE),
         job->request.truncate
             ? errmsg("cannot truncate \"%s\": it is the source of the copy", name)
         : job->request.rebuild_indexes
             ? errmsg("cannot rebuild the indexes of \"%s\": it is the source of the copy", name)
             : errmsg("cannot copy \"%s\" into itself", name),
         kinship == Kinship::standby
             ? errdetail("The source is a standby of this server, which replays what is done here.")
             : errdetail("Source and target are the same table, or the source reads the target."),
         job->request.truncate
             ? errhint("Leave truncate out, or check the source's host and dbname.")
         : job->request.rebuild_indexes
             ? errhint("Leave indexes out, or check the source's host and dbname.")
             : errhint("Check the source's host and dbname.")));
}

}  // namespace fastcopy::run
