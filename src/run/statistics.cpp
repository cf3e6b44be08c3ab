#include "run/statistics.hpp"

#include "pg/analyze.hpp"
#include "pg/wait.hpp"
#include "sink/local_sql.hpp"

namespace fastcopy::run {

namespace {

enum class How { by_name, alone };

// Analyzes a table as the job's role, in a transaction of its own; without the privilege PostgreSQL
// emits its usual WARNING. The table may have been dropped by now.
void analyze(const pg::Identity &identity, const job::Request &request, Oid relid, How how) {
    pg::begin_transaction(identity);
    take_on_settings(request);
    Relation table = try_table_open(relid, ShareUpdateExclusiveLock);
    if (table != nullptr) {
        if (how == How::alone)
            pg::analyze_only(relid);
        else if (table->rd_rel->relkind != RELKIND_VIEW)
            sink::run_local(psprintf("ANALYZE %s", sink::quoted_relation(relid)));
        table_close(table, NoLock);
    }
    pg::commit_transaction();
}

// Whose cancel it is: of the job, or only of this table.
enum class Cancel { job, table };

void try_to_analyze(const pg::Identity &identity, const job::Request &request, Oid relid, How how,
                    Cancel cancel = Cancel::job) {
    MemoryContext context = CurrentMemoryContext;
    PG_TRY();
    { analyze(identity, request, relid, how); }
    PG_CATCH();
    {
        MemoryContextSwitchTo(context);
        ErrorData *error = CopyErrorData();
        if (error->sqlerrcode == ERRCODE_QUERY_CANCELED && cancel == Cancel::job)
            PG_RE_THROW();
        FlushErrorState();
        pg::abort_transaction();
        MemoryContextSwitchTo(context);
        const char *partition =
            relid != request.target ? psprintf("partition with OID %u of ", relid) : "";
        pg::report_caught(
            WARNING, error,
            psprintf("fastcopy could not analyze %s%s", partition, request.target_table));
        FreeErrorData(error);
    }
    PG_END_TRY();
    MemoryContextSwitchTo(context);
}

// The tables of a partitioned target: those with rows, in an order that all processes agree on, and
// the partitioned ones, the deepest first. No leaves: the target is no such table.
struct Tables {
    List *leaves;
    List *parents;
};

Tables list_tables(Oid target) {
    Tables tables{};
    MemoryContext context = CurrentMemoryContext;
    pg::begin_ledger_transaction();
    if (get_rel_relkind(target) == RELKIND_PARTITIONED_TABLE) {
        List *relids = find_all_inheritors(target, NoLock, nullptr);
        MemoryContextSwitchTo(context);
        ListCell *cell;
        foreach (cell, relids) {
            // Level by level, parents come before their children.
            if (get_rel_relkind(lfirst_oid(cell)) == RELKIND_PARTITIONED_TABLE)
                tables.parents = lcons_oid(lfirst_oid(cell), tables.parents);
            else
                tables.leaves = lappend_oid(tables.leaves, lfirst_oid(cell));
        }
    }
    pg::commit_transaction();
    MemoryContextSwitchTo(context);
    return tables;
}

// Whether a leaf is left to be claimed, and which.
bool claim_leaf(job::JobSlot *slot, uint32 *leaf) {
    if (pg_atomic_read_u32(&slot->stop) != 0)
        return false;
    *leaf = pg_atomic_fetch_add_u32(&slot->next_leaf, 1);
    return *leaf < pg_atomic_read_u32(&slot->leaves);
}

// Has workers help, then takes part, then waits for them. A worker that is terminated leaves one
// leaf without statistics, which is no reason to fail.
void analyze_leaves_with_crew(RunningJob *job, List *leaves) {
    pg_atomic_write_u32(&job->slot->next_leaf, 0);
    pg_atomic_write_u32(&job->slot->leaves, static_cast<uint32>(list_length(leaves)));
    auto wanted = static_cast<int>(pg_atomic_read_u32(&job->slot->workers_wanted));
    int helpers = Min(wanted, list_length(leaves)) - 1;
    // Those that have copied may not have exited yet.
    if (helpers > 0)
        (void)grow(&job->crew, active(&job->crew) + helpers);
    uint32 leaf;
    while (claim_leaf(job->slot, &leaf)) {
        check_cancel(job);
        try_to_analyze(job->area->identity, job->request,
                       list_nth_oid(leaves, static_cast<int>(leaf)), How::alone);
    }
    for (;;) {
        check_cancel(job);
        collect(&job->crew);
        if (job->crew.count == 0)
            break;
        (void)pg::wait_latch();
    }
    job->crew.idle_deaths = 0;
}

}  // namespace

void analyze_leaves(job::JobSlot *job_slot, const pg::Identity &identity,
                    const job::Request &request) {
    List *leaves = list_tables(request.target).leaves;
    uint32 leaf;
    while (claim_leaf(job_slot, &leaf)) {
        CHECK_FOR_INTERRUPTS();
        if (static_cast<int>(leaf) < list_length(leaves))
            try_to_analyze(identity, request, list_nth_oid(leaves, static_cast<int>(leaf)),
                           How::alone, Cancel::table);
    }
    pgstat_report_activity(STATE_IDLE, nullptr);
}

void analyze_target(RunningJob *job) {
    const pg::Identity &identity = job->area->identity;
    Tables tables{};
    if (!job->by_insert)
        tables = list_tables(job->request.target);
    if (tables.leaves == NIL)
        return try_to_analyze(identity, job->request, job->request.target, How::by_name);
    analyze_leaves_with_crew(job, tables.leaves);
    ListCell *cell;
    foreach (cell, tables.parents) {
        check_cancel(job);
        try_to_analyze(identity, job->request, lfirst_oid(cell), How::alone);
    }
}

}  // namespace fastcopy::run
