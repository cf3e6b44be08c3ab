#include "run/sequences.hpp"

#include "job/ledger.hpp"
#include "sink/sequences.hpp"

namespace fastcopy::run {

namespace {

// The lock timeout of each attempt, during which other sessions cannot call nextval, and the number
// of attempts.
constexpr const char *longest_wait = "1s";
constexpr int most_attempts = 5;

bool ends_the_job(int sqlerrcode) {
    return sqlerrcode == ERRCODE_QUERY_CANCELED || sqlerrcode == ERRCODE_ADMIN_SHUTDOWN;
}

// Advances a sequence in a transaction of its own. Returns why that failed, or nullptr.
const char *try_to_move(RunningJob *job, Oid target, const sink::ColumnSequence &sequence,
                        bool *may_try_again) {
    MemoryContext context = CurrentMemoryContext;
    const char *volatile reason = nullptr;
    *may_try_again = false;
    PG_TRY();
    {
        pg::begin_transaction(job->area->identity);
        (void)set_config_option("lock_timeout", longest_wait, PGC_USERSET, PGC_S_SESSION,
                                GUC_ACTION_LOCAL, true, 0, false);
        const char *why = sink::advance(target, sequence);
        if (why != nullptr)
            reason = MemoryContextStrdup(
                context,
                psprintf("role %s: %s",
                         quote_identifier(GetUserNameFromId(job->area->identity.role, false)),
                         why));
        pg::commit_transaction();
    }
    PG_CATCH();
    {
        MemoryContextSwitchTo(context);
        ErrorData *error = CopyErrorData();
        if (ends_the_job(error->sqlerrcode))
            PG_RE_THROW();
        FlushErrorState();
        pg::abort_transaction();
        MemoryContextSwitchTo(context);
        *may_try_again = error->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE;
        reason = error->message;
    }
    PG_END_TRY();
    MemoryContextSwitchTo(context);
    return reason;
}

void add_line(StringInfo notice, const char *line) {
    appendStringInfo(notice, "%s%s", notice->len > 0 ? "\n" : "", line);
}

// Adds a line per sequence that could not be advanced.
void move_all(RunningJob *job, Oid target, const sink::ColumnSequences &sequences,
              StringInfo notice) {
    for (int i = 0; i < sequences.count; i++) {
        const sink::ColumnSequence &sequence = sequences.sequences[i];
        const char *reason = nullptr;
        bool again = true;
        for (int attempt = 0; attempt < most_attempts && again; attempt++) {
            check_cancel(job);
            reason = try_to_move(job, target, sequence, &again);
        }
        if (reason == nullptr)
            continue;
        add_line(notice,
                 psprintf("sequence %s was not advanced to the last value of column %s (%s): "
                          "run %s",
                          sequence.name, sequence.column, reason, sequence.statement));
    }
}

sink::ColumnSequences find_all(RunningJob *job, int table, MemoryContext context) {
    pg::begin_ledger_transaction();
    MemoryContext old = MemoryContextSwitchTo(context);
    plan::RowShape shape = job::ledger::read_table(job->area->job, table + 1).shape;
    sink::ColumnSequences sequences =
        sink::find_sequences(job->request.tables[table].target, shape.ncolumns, shape.columns);
    MemoryContextSwitchTo(old);
    pg::commit_transaction();
    MemoryContextSwitchTo(context);
    return sequences;
}

}  // namespace

void move_sequences(RunningJob *job) {
    MemoryContext context = CurrentMemoryContext;
    StringInfoData notice;
    initStringInfo(&notice);
    bool any = false;
    for (int i = 0; i < job->request.ntables; i++) {
        sink::ColumnSequences sequences = find_all(job, i, context);
        move_all(job, job->request.tables[i].target, sequences, &notice);
        any = any || sequences.count > 0;
    }
    if (!any)
        return;
    if (notice.len > 0)
        ereport(LOG, (errmsg("fastcopy job " INT64_FORMAT ": %s", job->area->job, notice.data)));
    pg::begin_ledger_transaction();
    job::ledger::write_notice(job->area->job, "sequences", notice.len > 0 ? notice.data : nullptr);
    pg::commit_transaction();
    MemoryContextSwitchTo(context);
}

}  // namespace fastcopy::run
