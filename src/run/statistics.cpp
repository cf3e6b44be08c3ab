#include "run/statistics.hpp"

#include "sink/local_sql.hpp"

namespace fastcopy::run {

namespace {

// Runs ANALYZE as the job's role; without the privilege PostgreSQL emits its usual WARNING. The
// table may have been dropped by now.
void analyze_target(RunningJob *job) {
    pg::begin_transaction(job->area->identity);
    take_on_settings(job->request);
    Relation target = try_table_open(job->request.target, ShareUpdateExclusiveLock);
    if (target != nullptr) {
        if (target->rd_rel->relkind != RELKIND_VIEW)
            sink::run_local(psprintf("ANALYZE %s", sink::quoted_relation(job->request.target)));
        table_close(target, NoLock);
    }
    pg::commit_transaction();
}

}  // namespace

void try_to_analyze(RunningJob *job) {
    MemoryContext context = CurrentMemoryContext;
    PG_TRY();
    { analyze_target(job); }
    PG_CATCH();
    {
        MemoryContextSwitchTo(context);
        ErrorData *error = CopyErrorData();
        if (error->sqlerrcode == ERRCODE_QUERY_CANCELED)
            PG_RE_THROW();
        FlushErrorState();
        pg::abort_transaction();
        MemoryContextSwitchTo(context);
        pg::report_caught(WARNING, error,
                          psprintf("fastcopy job " INT64_FORMAT " could not analyze %s",
                                   job->area->job, job->request.target_table));
        FreeErrorData(error);
    }
    PG_END_TRY();
}

}  // namespace fastcopy::run
