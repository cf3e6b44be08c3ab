#include "sink/truncate.hpp"

#include "sink/local_sql.hpp"

namespace fastcopy::sink {

namespace {

void check_empty(Oid target) {
    // A role that may not read cannot ask.
    if (pg_class_aclcheck(target, GetUserId(), ACL_SELECT) != ACLCHECK_OK)
        return;
    if (SPI_connect() != SPI_OK_CONNECT)
        elog(ERROR, "SPI_connect failed");
    const char *sql = psprintf("SELECT FROM %s LIMIT 1", quoted_relation(target));
    int result = SPI_execute(sql, false, 1);
    if (result != SPI_OK_SELECT)
        elog(ERROR, "%s: %s", sql, SPI_result_code_string(result));
    uint64 rows = SPI_processed;
    SPI_finish();
    if (rows > 0)
        ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                        errmsg("%s has rows after TRUNCATE", quoted_relation(target)),
                        errdetail("The engine that keeps the table has not removed them."),
                        errhint("Empty the table by hand, and leave truncate out.")));
}

}  // namespace

void truncate(std::span<const Oid> targets, bool alone, bool kept_by_engine) {
    StringInfoData statement;
    initStringInfo(&statement);
    for (Oid target : targets)
        appendStringInfo(&statement, "%s%s%s", statement.len > 0 ? ", " : "TRUNCATE ",
                         alone && get_rel_relkind(target) == RELKIND_RELATION ? "ONLY " : "",
                         quoted_relation(target));
    const char *sql = statement.data;
    if (!kept_by_engine)
        return run_local(sql);
    int nest_level = NewGUCNestLevel();
    // The ordinary state, for a statement of ours: no privilege of the role's is needed for that.
    if (SessionReplicationRole == SESSION_REPLICATION_ROLE_REPLICA)
        (void)set_config_option("session_replication_role", "origin", PGC_SUSET, PGC_S_SESSION,
                                GUC_ACTION_SAVE, true, 0, false);
    run_local(sql);
    AtEOXact_GUC(false, nest_level);
    for (Oid target : targets)
        check_empty(target);
}

}  // namespace fastcopy::sink
