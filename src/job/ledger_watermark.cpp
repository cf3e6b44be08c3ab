// Watermarks of fastcopy.sync in the ledger.
//
// A pair of tables has up to two rows: the state that its target has reached (done), and the one
// that a run is going to reach. The transaction that says that the run's job is done replaces the
// first by the second.
#include "job/ledger_watermark.hpp"

#include "job/ledger.hpp"
#include "job/ledger_session.hpp"

namespace fastcopy::job::ledger {

namespace {

void add_pair(Params *p, const Request &request) {
    p->add_oid(request.only_table().target);
    p->add_text(request.safe_source);
    p->add_text(request.only_table().source_table);
}

}  // namespace

Watermark read_watermark(const Request &request, bool done) {
    MemoryContext caller = CurrentMemoryContext;
    Session session = open();
    Params p;
    add_pair(&p, request);
    p.add_bool(done);
    read(
        "SELECT w.job, j.state, w.owner::int8 AS owner, w.key, w.filter, w.value,"
        " w.snapshot, w.base_snapshot, w.server, w.position, w.epoch, w.members, w.inserted, "
        "w.found,"
        " w.updated, w.deleted, w.must_scan, w.was_open, w.source_oid::int8 AS source_oid"
        " FROM fastcopy.watermark w"
        " LEFT JOIN fastcopy.job j ON j.job = w.job"
        " WHERE w.target = $1 AND w.source = $2 AND w.source_table = $3 AND w.done = $4",
        &p);
    Watermark watermark{};
    if (SPI_processed == 1) {
        watermark.found = true;
        watermark.job = field_int8("job", 0);
        watermark.job_state = field("state", caller);
        watermark.owner = static_cast<Oid>(field_int8("owner", 0));
        watermark.key = field("key", caller);
        watermark.filter = field("filter", caller);
        watermark.value = field("value", caller);
        watermark.snapshot = field("snapshot", caller);
        watermark.base_snapshot = field("base_snapshot", caller);
        watermark.server = field("server", caller);
        watermark.position = field("position", caller);
        watermark.epoch = field("epoch", caller);
        watermark.members = field("members", caller);
        watermark.inserted = field_int8("inserted", 0);
        watermark.rows_found = field_int8("found", 0);
        watermark.updated = field_int8("updated", 0);
        watermark.deleted = field_int8("deleted", 0);
        watermark.must_scan = field_bool("must_scan");
        watermark.was_open = field_bool("was_open");
        watermark.source_oid = static_cast<Oid>(field_int8("source_oid", 0));
    }
    close(session);
    return watermark;
}

void add_watermark(const Request &request, const Watermark &next, bool done) {
    Session session = open();
    Params p;
    add_pair(&p, request);
    if (done)
        run("DELETE FROM fastcopy.watermark"
            " WHERE target = $1 AND source = $2 AND source_table = $3",
            &p, SPI_OK_DELETE);
    else
        run("DELETE FROM fastcopy.watermark"
            " WHERE target = $1 AND source = $2 AND source_table = $3 AND NOT done",
            &p, SPI_OK_DELETE);
    Row row;
    row.column("target").add_oid(request.only_table().target);
    row.column("source").add_text(request.safe_source);
    row.column("source_table").add_text(request.only_table().source_table);
    row.column("done").add_bool(done);
    row.column("owner").add_oid(next.owner);
    row.column("target_table").add_text(request.only_table().target_table);
    row.column("key").add_text(next.key);
    row.column("filter").add_text(next.filter);
    row.column("value").add_text(next.value);
    row.column("snapshot").add_text(next.snapshot);
    row.column("base_snapshot").add_text(next.base_snapshot);
    row.column("server").add_text(next.server);
    row.column("position").add_text(next.position);
    row.column("epoch").add_text(next.epoch);
    row.column("members").add_text(next.members);
    row.column("inserted").add_int8(next.inserted);
    row.column("found").add_int8(next.rows_found);
    row.column("updated").add_int8(next.updated);
    row.column("deleted").add_int8(next.deleted);
    row.column("must_scan").add_bool(next.must_scan);
    row.column("was_open").add_bool(next.was_open);
    row.column("source_oid").add_oid(next.source_oid);
    row.column("job").add_int8(next.job, next.job == 0);
    row.column("ran_at").add_time(GetCurrentTimestamp());
    insert("fastcopy.watermark", &row);
    close(session);
}

const char *find_other_watermark(const Request &request, const char *server, Oid source_oid) {
    MemoryContext caller = CurrentMemoryContext;
    Session session = open();
    Params p;
    add_pair(&p, request);
    p.add_text(server);
    p.add_oid(source_oid);
    read(
        "SELECT source_table FROM fastcopy.watermark WHERE target = $1"
        " AND (source, source_table) <> ($2, $3) AND server = $4 AND source_oid = $5 LIMIT 1",
        &p);
    const char *name = SPI_processed > 0 ? field("source_table", caller) : nullptr;
    close(session);
    return name;
}

void touch_watermark(const Request &request, int64 updated, int64 deleted) {
    Session session = open();
    Params p;
    add_pair(&p, request);
    p.add_time(GetCurrentTimestamp());
    p.add_int8(updated);
    p.add_int8(deleted);
    run("UPDATE fastcopy.watermark SET ran_at = $4, rows = 0, updated = $5, deleted = $6"
        " WHERE target = $1 AND source = $2 AND source_table = $3 AND done",
        &p, SPI_OK_UPDATE);
    close(session);
}

bool is_sync_run(int64 job) {
    Session session = open();
    Params p;
    p.add_int8(job);
    read("SELECT FROM fastcopy.watermark WHERE job = $1 AND NOT done", &p);
    bool found = SPI_processed > 0;
    close(session);
    return found;
}

void advance_watermark(int64 job) {
    Params p;
    p.add_int8(job);
    run("DELETE FROM fastcopy.watermark w USING fastcopy.watermark n WHERE n.job = $1"
        " AND NOT n.done AND w.done AND w.target = n.target AND w.source = n.source"
        " AND w.source_table = n.source_table",
        &p, SPI_OK_DELETE);
    // Chunks that were copied after a resume are as of a later snapshot than the others.
    run("UPDATE fastcopy.watermark w SET done = true, ran_at = now(),"
        " must_scan = must_scan OR j.resumes > 0, rows = (SELECT coalesce(sum(c.rows), 0)"
        " FROM fastcopy.chunk c WHERE c.job = $1)"
        " FROM fastcopy.job j WHERE j.job = $1 AND w.job = $1 AND NOT w.done",
        &p, SPI_OK_UPDATE);
}

Adoptable find_adoptable(const Request &request) {
    MemoryContext caller = CurrentMemoryContext;
    Session session = open();
    Params p;
    add_pair(&p, request);
    p.add_text(request.only_table().filter);
    // A job that was resumed may have accepted changes.
    read(
        "SELECT j.job, source_server, source_snapshot, source_position FROM fastcopy.job j"
        " JOIN fastcopy.job_table t ON t.job = j.job"
        " WHERE target = $1 AND source = $2 AND source_table = $3 AND state = 'done'"
        " AND resumes = 0 AND filter IS NOT DISTINCT FROM $4 AND source_snapshot IS NOT NULL"
        " ORDER BY j.job DESC LIMIT 1",
        &p);
    Adoptable found{};
    if (SPI_processed == 1) {
        found.found = true;
        found.job = field_int8("job", 0);
        found.server = field("source_server", caller);
        found.snapshot = field("source_snapshot", caller);
        found.position = field("source_position", caller);
    }
    close(session);
    return found;
}

void prune_jobs(int keep_minutes) {
    if (keep_minutes < 0)
        return;
    Session session = open();
    Params p;
    p.add_int4(keep_minutes);
    read(
        "SELECT job FROM fastcopy.job j WHERE finished_at < now() - make_interval(mins => $1)"
        " AND state IN ('done', 'failed', 'cancelled')"
        " AND NOT EXISTS (SELECT FROM fastcopy.definition i WHERE i.job = j.job AND NOT i.done)"
        " AND NOT EXISTS (SELECT FROM fastcopy.foreign_key k WHERE k.job = j.job AND NOT k.done)"
        " AND NOT EXISTS (SELECT FROM fastcopy.live_jobs() l WHERE l.job = j.job)"
        " AND NOT EXISTS (SELECT FROM fastcopy.watermark w WHERE w.job = j.job)"
        " ORDER BY job LIMIT 1000",
        &p);
    auto count = static_cast<int>(SPI_processed);
    auto *jobs = static_cast<int64 *>(palloc(sizeof(int64) * Max(count, 1)));
    for (int i = 0; i < count; i++)
        jobs[i] = field_int8("job", 0, static_cast<uint64>(i));
    for (int i = 0; i < count; i++)
        remove_job(jobs[i]);
    close(session);
}

}  // namespace fastcopy::job::ledger
