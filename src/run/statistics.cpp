#include "run/statistics.hpp"

#include "job/ledger.hpp"
#include "pg/analyze.hpp"
#include "pg/wait.hpp"
#include "sink/local_sql.hpp"

namespace fastcopy::run {

namespace {

enum class How { by_name, alone };

// A table to be analyzed, and what messages call it.
struct Item {
    Oid relid;
    How how;
    const char *name;
};

// Analyzes a table as the job's role, in a transaction of its own; without the privilege PostgreSQL
// emits its usual WARNING. The table may have been dropped by now.
void analyze(const pg::Identity &identity, const job::Request &request, const Item &item) {
    pg::begin_transaction(identity);
    take_on_settings(request);
    Relation table = try_table_open(item.relid, ShareUpdateExclusiveLock);
    if (table != nullptr) {
        if (item.how == How::alone)
            pg::analyze_only(item.relid);
        else if (table->rd_rel->relkind != RELKIND_VIEW)
            sink::run_local(psprintf("ANALYZE %s", sink::quoted_relation(item.relid)));
        table_close(table, NoLock);
    }
    pg::commit_transaction();
}

// Whose cancel it is: of the job, or only of this table.
enum class Cancel { job, table };

void try_to_analyze(const pg::Identity &identity, const job::Request &request, const Item &item,
                    Cancel cancel = Cancel::job) {
    MemoryContext context = CurrentMemoryContext;
    PG_TRY();
    { analyze(identity, request, item); }
    PG_CATCH();
    {
        MemoryContextSwitchTo(context);
        ErrorData *error = CopyErrorData();
        if (error->sqlerrcode == ERRCODE_QUERY_CANCELED && cancel == Cancel::job)
            PG_RE_THROW();
        FlushErrorState();
        pg::abort_transaction();
        MemoryContextSwitchTo(context);
        pg::report_caught(WARNING, error, psprintf("fastcopy could not analyze %s", item.name));
        FreeErrorData(error);
    }
    PG_END_TRY();
    MemoryContextSwitchTo(context);
}

// The tables of the job's targets: those with rows, in an order that all processes agree on, and
// the partitioned ones, of each target the deepest first.
struct Tables {
    int leaf_count;
    Item *leaves;
    int parent_count;
    Item *parents;
};

void add_item(Item **items, int *count, int *capacity, const Item &item) {
    if (*count == *capacity) {
        *capacity = Max(16, *capacity * 2);
        Size size = sizeof(Item) * static_cast<Size>(*capacity);
        *items = static_cast<Item *>(*items == nullptr ? palloc(size) : repalloc(*items, size));
    }
    (*items)[(*count)++] = item;
}

Tables list_tables(int64 job) {
    Tables tables{};
    int leaf_capacity = 0;
    int parent_capacity = 0;
    MemoryContext context = CurrentMemoryContext;
    pg::begin_ledger_transaction();
    MemoryContext transaction = MemoryContextSwitchTo(context);
    job::ledger::Targets targets = job::ledger::read_targets(job);
    for (int i = 0; i < targets.count; i++) {
        const job::ledger::Target &target = targets.targets[i];
        if (target.by_insert || get_rel_relkind(target.relid) != RELKIND_PARTITIONED_TABLE) {
            add_item(&tables.leaves, &tables.leaf_count, &leaf_capacity,
                     Item{target.relid, How::by_name, target.name});
            continue;
        }
        List *relids = find_all_inheritors(target.relid, NoLock, nullptr);
        // Level by level, parents come before their children.
        for (int j = list_length(relids) - 1; j >= 0; j--) {
            Oid relid = list_nth_oid(relids, j);
            const char *name = relid == target.relid
                                   ? target.name
                                   : psprintf("partition with OID %u of %s", relid, target.name);
            Item item{relid, How::alone, name};
            if (get_rel_relkind(relid) == RELKIND_PARTITIONED_TABLE)
                add_item(&tables.parents, &tables.parent_count, &parent_capacity, item);
            else
                add_item(&tables.leaves, &tables.leaf_count, &leaf_capacity, item);
        }
    }
    MemoryContextSwitchTo(transaction);
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
void analyze_leaves_with_crew(RunningJob *job, const Tables &tables) {
    pg_atomic_write_u32(&job->slot->next_leaf, 0);
    pg_atomic_write_u32(&job->slot->leaves, static_cast<uint32>(tables.leaf_count));
    auto wanted = static_cast<int>(pg_atomic_read_u32(&job->slot->workers_wanted));
    int helpers = Min(wanted, tables.leaf_count) - 1;
    // Those that have copied may not have exited yet.
    if (helpers > 0)
        (void)grow(&job->crew, active(&job->crew) + helpers);
    uint32 leaf;
    while (claim_leaf(job->slot, &leaf)) {
        check_cancel(job);
        try_to_analyze(job->area->identity, job->request, tables.leaves[leaf]);
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

void analyze_leaves(job::JobSlot *job_slot, const job::Area *area, const job::Request &request) {
    Tables tables = list_tables(area->job);
    uint32 leaf;
    while (claim_leaf(job_slot, &leaf)) {
        CHECK_FOR_INTERRUPTS();
        if (static_cast<int>(leaf) < tables.leaf_count)
            try_to_analyze(area->identity, request, tables.leaves[leaf], Cancel::table);
    }
    pgstat_report_activity(STATE_IDLE, nullptr);
}

void analyze_targets(RunningJob *job) {
    const pg::Identity &identity = job->area->identity;
    Tables tables = list_tables(job->area->job);
    // The only table of most jobs: the wait for the crew is saved.
    if (tables.leaf_count == 1 && tables.parent_count == 0)
        return try_to_analyze(identity, job->request, tables.leaves[0]);
    analyze_leaves_with_crew(job, tables);
    for (int i = 0; i < tables.parent_count; i++) {
        check_cancel(job);
        try_to_analyze(identity, job->request, tables.parents[i]);
    }
}

}  // namespace fastcopy::run
