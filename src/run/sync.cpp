#include "run/sync.hpp"

#include "pg/wait.hpp"
#include "sink/known_keys.hpp"
#include "sink/target_files.hpp"

namespace fastcopy::run::sync {

using job::ledger::Watermark;

namespace {

[[noreturn]] void raise_refused(const job::Request &request, const char *detail) {
    ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                    errmsg("cannot tell which rows of source table \"%s\" are new",
                           request.only_table().source_table),
                    errdetail_internal("%s", detail), errhint("%s", rescan_hint)));
}

bool same_text(const char *a, const char *b) {
    return a == nullptr ? b == nullptr : b != nullptr && strcmp(a, b) == 0;
}

job::SourceMarkers markers_of(const Watermark &watermark, const char *snapshot) {
    job::SourceMarkers markers{};
    markers.server = watermark.server;
    markers.snapshot = snapshot;
    markers.position = watermark.position;
    return markers;
}

// The source's markers, with the snapshot also while its WAL is not on disk yet.
job::SourceMarkers markers_now(const SourceFacts &facts) {
    job::SourceMarkers now = facts.markers;
    if (now.snapshot == nullptr)
        now.snapshot = facts.marker.snapshot;
    return now;
}

// Only rows of heaps have an xmin; and a key is unique in a table, not in those that inherit from it.
void check_heaps(const job::Request &request, const SourceFacts &facts) {
    if (facts.only_table().table.relkind == RELKIND_RELATION && facts.only_table().leaves.count > 1)
        ereport(
            ERROR,
            (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
             errmsg("cannot synchronize source table \"%s\"", request.only_table().source_table),
             errdetail("Other tables inherit from it, in which its key is not unique.")));
    for (int i = 0; i < facts.only_table().leaves.count; i++) {
        const plan::Leaf &leaf = facts.only_table().leaves.leaves[i];
        if (!leaf.is_heap || leaf.by_name)
            ereport(ERROR,
                    (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                     errmsg("cannot synchronize source table \"%s\"",
                            request.only_table().source_table),
                     errdetail("%s is not a heap table: which of its rows are new cannot be told.",
                               leaf.name)));
    }
}

// Keys of the source, not above `up_to`, that the target does not have.
struct Late {
    int count;
    const char **keys;
    int64 rewritten;  // keys that the target has, of rows that are newer than the last snapshot
};

Late find_late(RunningJob *job, const SourceFacts &facts, const plan::SplitKey &key,
               const char *up_to, const char *snapshot, const char *last_snapshot) {
    const job::Request &request = job->request;
    Late late{};
    int capacity = 0;
    MemoryContext outer = CurrentMemoryContext;
    MemoryContext per_batch = AllocSetContextCreate(outer, "fastcopy keys", ALLOCSET_DEFAULT_SIZES);
    plan::open_keys(job->connection, facts.only_table().table, key, up_to,
                    request.only_table().filter, snapshot, last_snapshot);
    for (;;) {
        check_cancel(job);
        MemoryContextSwitchTo(per_batch);
        plan::KeyBatch batch = plan::fetch_keys(job->connection);
        if (batch.count == 0)
            break;
        bool *known =
            sink::find_known(request.only_table().target, key.column, batch.keys, batch.count);
        MemoryContextSwitchTo(outer);
        for (int i = 0; i < batch.count; i++) {
            if (known[i]) {
                late.rewritten += batch.rewritten[i] ? 1 : 0;
                continue;
            }
            if (late.count == capacity) {
                capacity = Max(64, capacity * 2);
                Size size = sizeof(char *) * static_cast<Size>(capacity);
                late.keys = static_cast<const char **>(late.keys == nullptr
                                                           ? MemoryContextAllocHuge(outer, size)
                                                           : repalloc_huge(late.keys, size));
            }
            late.keys[late.count++] = pstrdup(batch.keys[i]);
        }
        MemoryContextReset(per_batch);
    }
    MemoryContextSwitchTo(outer);
    MemoryContextDelete(per_batch);
    plan::close_keys(job->connection);
    return late;
}

void warn_of_changes(RunningJob *job, const Watermark &last, const plan::Counters &now) {
    if (last.epoch == nullptr || !same_text(last.epoch, now.epoch))
        return;
    int64 updated = now.updated - last.updated;
    int64 deleted = now.deleted - last.deleted;
    if (updated <= 0 && deleted <= 0)
        return;
    snprintf(job->area->warning, sizeof(job->area->warning),
             "source table \"%s\" had " INT64_FORMAT " rows updated and " INT64_FORMAT
             " deleted since the last run, which fastcopy.sync does not copy",
             job->request.only_table().source_table, updated, deleted);
}

// Ends a run that copies nothing.
void end_empty(RunningJob *job, int64 last_job) {
    job->nothing_new = true;
    job->area->job = last_job;
    job->area->workers_launched = job->request.workers;
}

// The source's snapshot, which is in the ledger only once a crash of the source cannot undo what it
// has seen.
void wait_for_snapshot(RunningJob *job, SourceFacts *facts) {
    if (facts->marker.snapshot == nullptr)
        return;
    if (plan::wait_until_durable(job->connection, facts->marker) != plan::Durable::yes)
        raise_refused(job->request, "The source has not written its WAL to disk.");
    facts->markers.snapshot = facts->marker.snapshot;
    facts->marker.snapshot = nullptr;
    job->marker.snapshot = nullptr;
    pg_atomic_write_u32(&job->area->marker_pending, 0);
}

// Whether the target no longer has what that job, which may have had other tables too, has stored in
// it.
bool has_lost_rows(const job::Request &request, int64 job) {
    Oid target = request.only_table().target;
    job::ledger::ResumeState then = job::ledger::read_resume_state(job);
    job::TargetFiles now = sink::read_files(target);
    for (int i = 0; i < then.ntables; i++) {
        const job::ledger::ResumeTable &table = then.tables[i];
        if (table.target == target && ((then.unlogged_emptied && table.files.unlogged) ||
                                       sink::without(table.files, now).count > 0))
            return true;
    }
    return false;
}

// An ERROR if the target has been emptied since the last run. Partitions may have been dropped: that
// is how old rows are removed.
void check_not_emptied(const job::Request &request, const Watermark &last, bool empty) {
    bool emptied = empty && request.only_table().filter == nullptr;
    if (last.job_state != nullptr) {
        job::ledger::ResumeState then = job::ledger::read_resume_state(last.job);
        emptied = emptied || then.unlogged_emptied || (empty && then.rows > 0);
    }
    if (emptied)
        raise_refused(request, "The target has been emptied since the last run.");
}

// An ERROR if the target is synchronized with the same table under another name, which would copy
// its rows again.
void check_one_name(const job::Request &request, const SourceFacts &facts) {
    const char *name = job::ledger::find_other_watermark(request, facts.markers.server,
                                                         facts.only_table().table.oid);
    if (name != nullptr)
        ereport(
            ERROR,
            (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
             errmsg("%s is synchronized with this source table already",
                    request.only_table().target_table),
             errdetail("Its source table was given as \"%s\", with %s connection string.", name,
                       strcmp(name, request.only_table().source_table) == 0 ? "another"
                                                                            : "that or another"),
             errhint("Give source and source_table as in the first call.")));
}

// The state of a target without a watermark.
Watermark adopt(RunningJob *job) {
    const job::Request &request = job->request;
    job::ledger::Adoptable adoptable = job::ledger::find_adoptable(request);
    if (!adoptable.found || has_lost_rows(request, adoptable.job))
        ereport(ERROR,
                (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                 errmsg("target table %s has rows, and no watermark of this source",
                        request.only_table().target_table),
                 errdetail("No job in the ledger has copied the same rows of this source table "
                           "into it and recorded its snapshot."),
                 errhint("Empty the table to copy all rows. If its rows are from this source, %s",
                         rescan_hint)));
    Watermark last{};
    last.found = true;
    last.job = adoptable.job;
    last.key = request.only_table().key;
    last.filter = request.only_table().filter;
    last.snapshot = last.base_snapshot = adoptable.snapshot;
    last.server = adoptable.server;
    last.position = adoptable.position;
    last.must_scan = true;
    return last;
}

LOCKTAG lock_of(const job::Request &request) {
    // Advisory locks of sessions are the ones that outlive a transaction; the fourth field tells
    // this one from those of pg_advisory_lock, 1 and 2.
    constexpr uint16 class_of_sync = 0xFC;
    Datum pair = CStringGetTextDatum(
        psprintf("%s %s", request.safe_source, request.only_table().source_table));
    LOCKTAG tag;
    SET_LOCKTAG_ADVISORY(
        tag, MyDatabaseId, request.only_table().target,
        DatumGetUInt32(DirectFunctionCall1Coll(hashtext, DEFAULT_COLLATION_OID, pair)),
        class_of_sync);
    return tag;
}

}  // namespace

void narrow(plan::RowShape *shape, const char *condition) {
    shape->filter =
        shape->filter == nullptr ? condition : psprintf("(%s\n) AND %s", shape->filter, condition);
}

void check_same(const job::Request &request, const Watermark &last) {
    if (!same_text(request.only_table().key, last.key) ||
        !same_text(request.only_table().filter, last.filter))
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("key and filter must be those of the first run"),
                        errdetail("It had the key \"%s\" and %s filter.", last.key,
                                  last.filter != nullptr ? "another" : "no"),
                        errhint("%s", rescan_hint)));
}

void take_turn(RunningJob *job) {
    const job::Request &request = job->request;
    LOCKTAG tag = lock_of(request);
    while (LockAcquire(&tag, ExclusiveLock, true, true) == LOCKACQUIRE_NOT_AVAIL) {
        if (!request.wait_for_turn)
            ereport(ERROR,
                    (errcode(ERRCODE_OBJECT_IN_USE),
                     errmsg("%s is being synchronized with source table \"%s\"",
                            request.only_table().target_table, request.only_table().source_table),
                     errhint("Wait for that run to end, or call with wait => true.")));
        (void)pg::wait_latch(100);
        check_cancel(job);
    }
}

void give_up_turn(RunningJob *job) {
    LOCKTAG tag = lock_of(job->request);
    (void)LockRelease(&tag, ExclusiveLock, true);
}

bool nothing_has_run(RunningJob *job, const SourceFacts &facts) {
    const job::Request &request = job->request;
    if (request.rescan || job::ledger::read_watermark(request, false).found)
        return false;
    Watermark last = job::ledger::read_watermark(request, true);
    // A crash of the source may assign ids again of transactions that have written nothing; it
    // resets the counters.
    if (!last.found || last.must_scan || !facts.counters.usable ||
        !same_text(last.epoch, facts.counters.epoch) ||
        !same_text(last.members, facts.counters.members))
        return false;
    check_same(request, last);
    plan::MarkerWait wait;
    job::SourceMarkers now = plan::read_markers(job->connection, facts.position, &wait);
    if (now.snapshot == nullptr)
        now.snapshot = wait.snapshot;
    if (plan::history_difference(markers_of(last, last.snapshot), now, facts.position) != nullptr ||
        !plan::nothing_has_run(markers_of(last, last.snapshot), now))
        return false;
    if (last.value != nullptr && sink::is_empty(request.only_table().target))
        return false;
    job::ledger::touch_watermark(request, facts.counters.updated, facts.counters.deleted);
    end_empty(job, last.job);
    return true;
}

void check_history(const job::Request &request, const job::SourceMarkers &then,
                   const SourceFacts &facts) {
    job::SourceMarkers now = markers_now(facts);
    const char *what = plan::history_difference(then, now, facts.position);
    if (what != nullptr)
        raise_refused(request, what);
}

Run decide(RunningJob *job, SourceFacts *facts, plan::RowShape *shape) {
    const job::Request &request = job->request;
    source::Connection *connection = job->connection;
    check_heaps(request, *facts);
    sink::check_sees_all(request.only_table().target, request.only_table().target_table);
    plan::SplitKey key =
        plan::find_unique_key(connection, facts->only_table().table, request.only_table().key);
    sink::check_comparable(request.only_table().target, key.column, key.type, key.type_name);
    check_one_name(request, *facts);
    Watermark unfinished = job::ledger::read_watermark(request, false);
    // Its chunks must not be copied after their keys were compared.
    if (unfinished.found && request.rescan)
        job::ledger::remove_job(unfinished.job);
    else if (unfinished.found)
        ereport(ERROR, (errcode(ERRCODE_OBJECT_IN_USE),
                        errmsg("a run of fastcopy.sync into %s is not finished",
                               request.only_table().target_table),
                        errhint("Call fastcopy.sync again, which finishes it.")));
    Watermark last = job::ledger::read_watermark(request, true);
    bool empty = sink::is_empty(request.only_table().target);
    if (last.found && !request.rescan) {
        check_same(request, last);
        if (last.value != nullptr)
            check_not_emptied(request, last, empty);
        if (OidIsValid(last.source_oid) && last.source_oid != facts->only_table().table.oid)
            raise_refused(request,
                          "It is not the table of the last run, but another of that name.");
    } else if (!empty && !request.rescan) {
        last = adopt(job);
    }
    bool known = last.found && !request.rescan && !(empty && last.value == nullptr);
    if (known) {
        check_history(request, markers_of(last, last.base_snapshot), *facts);
        warn_of_changes(job, last, facts->counters);
    }

    job::SourceMarkers now = markers_now(*facts);
    if (now.snapshot == nullptr)
        raise_refused(request,
                      "The source does not report its snapshot, server and WAL position "
                      "to this role.");
    Run run{};
    Watermark *next = &run.next;
    next->owner = job->area->identity.role;
    next->key = request.only_table().key;
    next->filter = request.only_table().filter;
    next->value = plan::greatest_key(connection, facts->only_table().table, key);
    next->server = facts->markers.server;
    next->source_oid = facts->only_table().table.oid;
    next->was_open = plan::ids_are_taken(connection, now.snapshot);
    next->position = facts->markers.position;
    next->epoch = facts->counters.usable ? facts->counters.epoch : nullptr;
    next->members = facts->counters.members;
    next->inserted = facts->counters.inserted;
    next->updated = facts->counters.updated;
    next->deleted = facts->counters.deleted;

    if (!known && empty) {
        // The first run. The condition keeps a resumed one from copying later rows.
        run.whole = true;
        wait_for_snapshot(job, facts);
        next->snapshot = next->base_snapshot = facts->markers.snapshot;
        narrow(shape, plan::between(key, nullptr, next->value));
        return run;
    }

    if (known && last.value != nullptr &&
        (next->value == nullptr || plan::is_below(connection, key, next->value, last.value)))
        raise_refused(request, psprintf("Its greatest key is %s, below the watermark %s: it was "
                                        "emptied, or its sequence was reset.",
                                        next->value != nullptr ? next->value : "none", last.value));

    // Keys that a scan looks at: with no watermark, all that are new.
    const char *above = known && last.value != nullptr ? last.value : next->value;
    plan::Tail tail{};
    if (above != nullptr)
        tail = plan::read_tail(connection, facts->only_table().table, key, above, next->value);
    // Rows of a partition that was attached may be older than any snapshot of the table.
    bool same_members =
        known && (last.members != nullptr ? same_text(last.members, facts->counters.members)
                                          : facts->only_table().leaves.count == 1);
    plan::Counters counters = plan::read_counters(connection, facts->only_table().table);
    bool counted = known && last.epoch != nullptr && counters.usable && counters.complete &&
                   same_text(last.epoch, counters.epoch) && same_members &&
                   counters.inserted - last.inserted == last.rows_found + tail.rows;
    bool scan = !known || last.must_scan || !counted ||
                plan::had_open_transactions(last.snapshot) || last.was_open ||
                plan::are_far_apart(last.base_snapshot, now.snapshot);
    Late late{};
    if (scan && above != nullptr) {
        bool exact = same_members && !last.must_scan;
        late =
            find_late(job, *facts, key, above, known && same_members ? last.base_snapshot : nullptr,
                      exact ? last.snapshot : nullptr);
        int64 updated = counters.updated - last.updated;
        // The xmin of rows of another epoch may look new.
        if (late.rewritten > 0 && !plan::ids_have_wrapped(now.snapshot) &&
            (last.epoch == nullptr || !same_text(last.epoch, counters.epoch) ||
             updated < late.rewritten))
            raise_refused(request,
                          psprintf("It has " INT64_FORMAT " newer rows with keys that were copied "
                                   "before: the table was rewritten, or its sequence was reset.",
                                   late.rewritten));
    } else if (!scan) {
        next->base_snapshot = last.base_snapshot;
        next->epoch = last.epoch;
        next->inserted = last.inserted;
        next->rows_found = last.rows_found + tail.rows;
    }

    ereport(DEBUG1,
            (errmsg_internal("fastcopy sync of %s: " INT64_FORMAT " rows above the watermark, %s, "
                             "%d late",
                             request.only_table().target_table, tail.rows,
                             scan ? "scan" : "no scan", late.count)));
    if (tail.rows == 0 && late.count == 0 && !scan) {
        job::ledger::touch_watermark(request, facts->counters.updated, facts->counters.deleted);
        end_empty(job, last.job);
        return run;
    }
    wait_for_snapshot(job, facts);
    next->snapshot = facts->markers.snapshot;
    if (scan)
        next->base_snapshot = next->snapshot;
    if (tail.rows == 0 && late.count == 0) {
        next->job = last.job;
        job::ledger::add_watermark(request, *next, true);
        end_empty(job, last.job);
        return run;
    }
    run.plan = plan::cut_tail(facts->only_table().table, key, tail, late.keys, late.count);
    run.condition = plan::tail_condition(key, tail.rows > 0 ? above : nullptr, next->value,
                                         late.keys, late.count);
    run.plan.bytes_expected = 0;
    narrow(shape, plan::between(key, nullptr, next->value));
    return run;
}

void write(RunningJob *job, Run *run) {
    run->next.job = job->area->job;
    job::ledger::add_watermark(job->request, run->next, false);
}

}  // namespace fastcopy::run::sync
