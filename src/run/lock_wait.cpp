#include "run/lock_wait.hpp"

#include "job/ledger.hpp"

namespace fastcopy::run::lock_wait {

namespace {

constexpr const char *topic = "lock of worker ";

// How long a worker queues for a lock, during which other readers of the table queue behind it.
constexpr const char *longest_wait = "1s";

// Lists sessions of the source that wait for a lock that one of the job's sessions holds.
const char *find_waiters(job::Area *area, source::Connection *connection) {
    source::Rows rows = source::query(
        connection,
        psprintf(
            "SELECT DISTINCT w.pid, coalesce(w.relation::pg_catalog.regclass::pg_catalog.text, "
            "w.locktype), w.mode FROM pg_catalog.pg_locks w"
            " WHERE NOT w.granted AND EXISTS (SELECT FROM pg_catalog.pg_stat_activity a"
            " WHERE a.application_name LIKE 'fastcopy job " INT64_FORMAT " %%'"
            " AND a.pid <> w.pid AND a.pid = ANY (pg_catalog.pg_blocking_pids(w.pid)))"
            " AND NOT EXISTS (SELECT FROM pg_catalog.pg_stat_activity a WHERE a.pid = w.pid"
            " AND a.application_name LIKE 'fastcopy job " INT64_FORMAT " %%')"
            " ORDER BY 1 LIMIT 5",
            area->job, area->job));
    if (rows.count == 0)
        return nullptr;
    StringInfoData text;
    initStringInfo(&text);
    for (int i = 0; i < rows.count; i++)
        appendStringInfo(&text,
                         _("%sProcess %s of the source waits for %s on %s; blocked by this job."),
                         i > 0 ? "\n" : "", rows.at(i, 0), rows.at(i, 2), rows.at(i, 1));
    return text.data;
}

// Errors in here are ignored: the one to be explained matters more.
const char *try_to_find_waiters(job::Area *area, source::Connection *connection) {
    MemoryContext context = CurrentMemoryContext;
    const char *volatile waiters = nullptr;
    PG_TRY();
    {
        source::drain(connection);
        // ROLLBACK reverts the transaction's settings too.
        (void)source::query(connection, "ROLLBACK; SET search_path = ''");
        waiters = find_waiters(area, connection);
    }
    PG_CATCH();
    {
        MemoryContextSwitchTo(context);
        ErrorData *error = CopyErrorData();
        if (error->sqlerrcode == ERRCODE_ADMIN_SHUTDOWN)
            PG_RE_THROW();
        FlushErrorState();
        FreeErrorData(error);
    }
    PG_END_TRY();
    return waiters;
}

void write_notice(job::Area *area, const job::WorkerSlot *me, const char *notice) {
    MemoryContext context = CurrentMemoryContext;
    pg::begin_ledger_transaction();
    job::ledger::write_notice(area->job, psprintf("%s%d", topic, me->number), notice);
    pg::commit_transaction();
    MemoryContextSwitchTo(context);
}

}  // namespace

void publish(job::Area *area, const char *statement) {
    bool fits = statement != nullptr && strlen(statement) < sizeof(area->lock_statement);
    strlcpy(area->lock_statement, fits ? statement : "", sizeof(area->lock_statement));
}

void lock(job::Area *area, job::WorkerSlot *me, source::Connection *connection) {
    (void)source::query(connection, psprintf("SET lock_timeout = '%s'", longest_wait));
    if (area->lock_statement[0] == '\0')
        return;
    (void)source::query(connection, area->lock_statement);
    end(area, me);
}

bool is_cause(const source::Connection *connection, const ErrorData *error) {
    return connection != nullptr && error->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE &&
           connection->last_error == error->sqlerrcode;
}

void explain(job::Area *area, job::WorkerSlot *me, source::Connection *connection,
             ErrorData *error) {
    pg_atomic_write_u32(&me->waits_for_lock, 1);
    pg_atomic_write_u32(&area->lock_waited_for, 1);
    const char *waiters = try_to_find_waiters(area, connection);
    error->message = pstrdup("could not lock the source table");
    if (waiters != nullptr)
        error->detail = pstrdup(waiters);
    error->hint = psprintf(
        "When that session has the lock or has given up, call fastcopy.resume(" INT64_FORMAT ").",
        area->job);
    write_notice(area, me,
                 psprintf("worker %d waits for a lock on the source table%s%s", me->number,
                          waiters != nullptr ? ": " : "", waiters != nullptr ? waiters : ""));
}

void end(job::Area *area, job::WorkerSlot *me) {
    if (pg_atomic_exchange_u32(&me->waits_for_lock, 0) != 0)
        write_notice(area, me, nullptr);
}

void forget(job::Area *area) {
    if (pg_atomic_read_u32(&area->lock_waited_for) == 0)
        return;
    pg::begin_ledger_transaction();
    job::ledger::delete_notices(area->job, topic);
    pg::commit_transaction();
}

bool others_work(const job::WorkerSlot *me) {
    bool found = false;
    job::lock_registry(LW_SHARED);
    for (uint32 i = 0; i < job::slot_count() && !found; i++) {
        job::WorkerSlot *other = job::worker_slot(i);
        found = other != me && other->in_use && other->pid != 0 &&
                other->job_index == me->job_index && other->job_generation == me->job_generation &&
                pg_atomic_read_u32(&other->source_pid) != 0 &&
                pg_atomic_read_u32(&other->waits_for_lock) == 0;
    }
    job::unlock_registry();
    return found;
}

}  // namespace fastcopy::run::lock_wait
