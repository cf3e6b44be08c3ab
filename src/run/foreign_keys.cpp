#include "run/foreign_keys.hpp"

#include "job/ledger.hpp"
#include "sink/foreign_keys.hpp"
#include "sink/local_sql.hpp"

namespace fastcopy::run {

void note_foreign_keys(RunningJob *job) {
    bool unchecked = SessionReplicationRole == SESSION_REPLICATION_ROLE_REPLICA;
    bool set_aside = !unchecked && sets_foreign_keys_aside(job->request);
    if (unchecked ? !job->request.foreign_keys : !set_aside)
        return;
    const List *left_aside = set_aside ? job::ledger::read_foreign_keys_aside() : NIL;
    // Triggers check rows by keys that are not valid, too.
    sink::Which which = unchecked            ? sink::Which::valid
                        : job->request.clone ? sink::Which::all
                                             : sink::Which::valid_to_itself;
    for (int i = 0; i < job->request.ntables; i++) {
        job::TargetForeignKeys keys =
            sink::find_foreign_keys(job->request.tables[i].target, which, left_aside);
        job::ledger::add_foreign_keys(job->area->job, keys, set_aside);
        for (int j = 0; set_aside && j < keys.count; j++)
            sink::set_validated(keys.keys[j].oid, false);
    }
}

void keep_aside(RunningJob *job) {
    job::ledger::OpenForeignKeys keys = job::ledger::read_open_foreign_keys(job->area->job);
    for (int i = 0; i < keys.count; i++) {
        if (keys.keys[i].set_aside)
            sink::keep_aside(keys.keys[i].oid);
    }
}

void keep_aside_after_failure(RunningJob *job) {
    // Longer than deadlock_timeout usually is, after which an autovacuum yields.
    constexpr const char *longest_wait = "5s";
    MemoryContext context = CurrentMemoryContext;
    PG_TRY();
    {
        pg::begin_ledger_transaction();
        (void)set_config_option("lock_timeout", longest_wait, PGC_USERSET, PGC_S_SESSION,
                                GUC_ACTION_LOCAL, true, 0, false);
        keep_aside(job);
        pg::commit_transaction();
    }
    PG_CATCH();
    {
        MemoryContextSwitchTo(context);
        ErrorData *error = CopyErrorData();
        FlushErrorState();
        pg::abort_transaction();
        MemoryContextSwitchTo(context);
        pg::report_caught(LOG, error,
                          psprintf("fastcopy job " INT64_FORMAT
                                   " does not know whether foreign keys of %s are still set aside; "
                                   "validate again those that were validated while it was running",
                                   job->area->job, job::name_of_targets(job->request)));
    }
    PG_END_TRY();
    MemoryContextSwitchTo(context);
}

void check_foreign_keys(RunningJob *job) {
    pg::begin_ledger_transaction();
    MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);
    job::ledger::OpenForeignKeys keys = job::ledger::read_open_foreign_keys(job->area->job);
    MemoryContextSwitchTo(old);
    pg::commit_transaction();
    for (int i = 0; i < keys.count; i++) {
        const job::ledger::OpenForeignKey &key = keys.keys[i];
        check_cancel(job);
        TimestampTz started_at = GetCurrentTimestamp();
        pg::begin_transaction(job->area->identity);
        take_on_settings(job->request);
        const char *name = get_constraint_name(key.oid);
        pg::show_activity(psprintf("fastcopy job " INT64_FORMAT, job->area->job),
                          psprintf("checking foreign key %s", name != nullptr ? name : ""));
        bool stays_not_valid = !key.was_valid && sink::is_set_aside(key.oid);
        if (!stays_not_valid && sink::check_foreign_key(key.oid) && key.set_aside)
            sink::set_validated(key.oid, true);
        job::ledger::mark_foreign_key_done(job->area->job, key.oid, started_at);
        pg::commit_transaction();
        debug_query_string = nullptr;
    }
}

}  // namespace fastcopy::run
