#include "job/ledger.hpp"

#include "job/ledger_session.hpp"
#include "job/ledger_watermark.hpp"

namespace fastcopy::job::ledger {

int64 next_job() {
    Session session = open();
    Params none;
    run("SELECT nextval('fastcopy.job_id') AS job", &none, SPI_OK_SELECT);
    int64 job = field_int8("job", 0);
    close(session);
    return job;
}

void add_job(int64 job, const Request &request, Oid owner, TimestampTz started_at, int nchunks,
             const SourceMarkers &markers) {
    Session session = open();
    Row row;
    row.column("job").add_int8(job);
    row.column("owner").add_oid(owner);
    row.column("source").add_text(request.safe_source);
    row.column("truncate").add_bool(request.truncate);
    row.column("triggers").add_bool(request.triggers);
    row.column("statistics").add_bool(request.statistics);
    row.column("workers").add_int4(request.workers);
    row.column("chunks").add_int4(nchunks);
    row.column("started_at").add_time(started_at);
    row.column("source_server").add_text(markers.server);
    row.column("source_snapshot").add_text(markers.snapshot);
    row.column("source_position").add_text(markers.position);
    row.column("indexes").add_text(request.rebuild_indexes ? "rebuild" : "keep");
    row.column("source_encoding").add_text(request.source_encoding);
    row.column("sequences").add_bool(request.sequences);
    row.column("clone").add_bool(request.clone);
    row.column("created").add_bool(request.create);
    row.column("state").add_text(name_of(State::copying));
    insert("fastcopy.job", &row);
    close(session);
}

void begin_again(int64 job, const Request &request, const SourceMarkers &markers) {
    Session session = open();
    Params p;
    p.add_int8(job);
    p.add_text(request.safe_source);
    p.add_int4(request.workers);
    p.add_time(GetCurrentTimestamp());
    p.add_text(markers.server);
    p.add_text(markers.snapshot);
    p.add_text(markers.position);
    // The work of an interrupted job is counted up to its last done chunk.
    run("UPDATE fastcopy.job j SET state = 'copying', source = $2, workers = $3, resumed_at = $4,"
        " resumes = resumes + 1, vain_resumes = CASE WHEN resumed_at IS NULL OR EXISTS (SELECT FROM"
        " fastcopy.chunk c WHERE c.job = j.job AND c.finished_at > resumed_at)"
        " OR EXISTS (SELECT FROM fastcopy.definition i WHERE i.job = j.job AND i.finished_at > "
        "resumed_at)"
        " THEN 0 ELSE vain_resumes END + 1, worked_before = worked_before + (coalesce(finished_at,"
        " greatest((SELECT max(c.finished_at) FROM fastcopy.chunk c WHERE c.job = j.job),"
        " resumed_at, started_at)) - coalesce(resumed_at, started_at)),"
        " finished_at = NULL, sqlstate = NULL, error = NULL, detail = NULL, hint = NULL,"
        " context = NULL, failed_chunk = NULL, source_server = $5, source_snapshot = $6,"
        " source_position = $7 WHERE job = $1",
        &p, SPI_OK_UPDATE);
    if (SPI_processed != 1)
        raise_gone(job);
    Params job_only;
    job_only.add_int8(job);
    run("DELETE FROM fastcopy.notice WHERE job = $1", &job_only, SPI_OK_DELETE);
    close(session);
}

void end_job(int64 job, State state, const pg::ErrorReport *error) {
    Session session = open();
    auto text_or_null = [](const char *text) { return text[0] != '\0' ? text : nullptr; };
    Params p;
    p.add_int8(job);
    p.add_text(name_of(state));
    p.add_time(GetCurrentTimestamp());
    p.add_text(error != nullptr ? unpack_sql_state(error->sqlerrcode) : nullptr);
    p.add_text(error != nullptr ? error->message : nullptr);
    p.add_text(error != nullptr ? text_or_null(error->detail) : nullptr);
    p.add_text(error != nullptr ? text_or_null(error->hint) : nullptr);
    p.add_text(error != nullptr ? text_or_null(error->context) : nullptr);
    p.add_int4(error != nullptr ? error->chunk : 0, error == nullptr || error->chunk == 0);
    run("UPDATE fastcopy.job SET state = $2, finished_at = $3, sqlstate = $4, error = $5,"
        " detail = $6, hint = $7, context = $8, failed_chunk = $9 WHERE job = $1 AND ($2 <> 'done'"
        " OR chunks = (SELECT count(*) FROM fastcopy.chunk c WHERE c.job = $1 AND c.done)"
        " AND NOT EXISTS (SELECT FROM fastcopy.definition i WHERE i.job = $1 AND NOT i.done)"
        " AND NOT EXISTS (SELECT FROM fastcopy.foreign_key k WHERE k.job = $1 AND NOT k.done))",
        &p, SPI_OK_UPDATE);
    if (SPI_processed != 1 && state == State::done)
        ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
                        errmsg("fastcopy job " INT64_FORMAT " cannot be marked done", job),
                        errdetail("A chunk, a definition or a foreign key is not done, or "
                                  "the job is no longer in the ledger."),
                        errhint("fastcopy.resume(" INT64_FORMAT ") continues the job.", job)));
    if (state == State::done)
        advance_watermark(job);
    close(session);
}

void write_snapshot(int64 job, const char *snapshot) {
    Session session = open();
    Params p;
    p.add_int8(job);
    p.add_text(snapshot);
    run("UPDATE fastcopy.job SET source_snapshot = $2 WHERE job = $1", &p, SPI_OK_UPDATE);
    close(session);
}

void delete_notices(int64 job, const char *topic_prefix) {
    Session session = open();
    Params p;
    p.add_int8(job);
    p.add_text(topic_prefix);
    run("DELETE FROM fastcopy.notice WHERE job = $1 AND starts_with(topic, $2)", &p, SPI_OK_DELETE);
    close(session);
}

void write_notice(int64 job, const char *topic, const char *text) {
    Session session = open();
    Params p;
    p.add_int8(job);
    p.add_text(topic);
    if (text == nullptr) {
        run("DELETE FROM fastcopy.notice WHERE job = $1 AND topic = $2", &p, SPI_OK_DELETE);
    } else {
        p.add_text(text);
        run("INSERT INTO fastcopy.notice (job, topic, text) VALUES ($1, $2, $3)"
            " ON CONFLICT (job, topic) DO UPDATE SET text = excluded.text",
            &p, SPI_OK_INSERT);
    }
    close(session);
}

JobRow read_job(int64 job) {
    MemoryContext caller = CurrentMemoryContext;
    Session session = open();
    Params p;
    p.add_int8(job);
    read(
        "SELECT owner::int8, state, (SELECT coalesce(sum(coalesce(rows_sent, rows)), 0)::int8"
        " FROM fastcopy.chunk c WHERE c.job = j.job AND c.done) AS rows, error,"
        " (SELECT string_agg(n.text, E'\\n' ORDER BY n.topic) FROM fastcopy.notice n"
        " WHERE n.job = j.job) AS notice"
        " FROM fastcopy.job j WHERE job = $1",
        &p);
    JobRow row{};
    if (SPI_processed == 1) {
        row.found = true;
        row.owner = static_cast<Oid>(field_int8("owner", 0));
        row.state = field("state", caller);
        row.rows = field_int8("rows", 0);
        row.has_error = field("error", caller) != nullptr;
        row.notice = field("notice", caller);
    }
    close(session);
    return row;
}

void raise_error(int64 job) {
    MemoryContext caller = CurrentMemoryContext;
    Session session = open();
    Params p;
    p.add_int8(job);
    read("SELECT sqlstate, error, detail, hint, context FROM fastcopy.job WHERE job = $1", &p);
    if (SPI_processed != 1)
        ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
                        errmsg("fastcopy job " INT64_FORMAT " does not exist", job)));
    const char *sqlstate = field("sqlstate", caller);
    const char *message = field("error", caller);
    const char *detail = field("detail", caller);
    const char *hint = field("hint", caller);
    const char *context = field("context", caller);
    close(session);
    ereport(ERROR, (sqlstate != nullptr && strlen(sqlstate) == 5
                        ? errcode(MAKE_SQLSTATE(sqlstate[0], sqlstate[1], sqlstate[2], sqlstate[3],
                                                sqlstate[4]))
                        : errcode(ERRCODE_INTERNAL_ERROR),
                    errmsg_internal("%s", message != nullptr ? message : "the job failed"),
                    detail != nullptr ? errdetail_internal("%s", detail) : 0,
                    hint != nullptr ? errhint("%s", hint) : 0,
                    context != nullptr ? errcontext("%s", context) : 0,
                    errcontext("fastcopy job " INT64_FORMAT, job)));
}

int64 *unfinished_jobs(int most_vain_resumes, int *count) {
    MemoryContext caller = CurrentMemoryContext;
    Session session = open();
    Params p;
    p.add_int4(most_vain_resumes);
    read(
        "SELECT job FROM fastcopy.job j WHERE state IN ('copying', 'indexing')"
        " AND vain_resumes < $1 ORDER BY job",
        &p);
    *count = static_cast<int>(SPI_processed);
    auto *jobs =
        static_cast<int64 *>(MemoryContextAlloc(caller, sizeof(int64) * Max(SPI_processed, 1)));
    for (uint64 i = 0; i < SPI_processed; i++)
        jobs[i] = field_int8("job", 0, i);
    close(session);
    return jobs;
}

void remove_job(int64 job) {
    Session session = open();
    Params p;
    p.add_int8(job);
    // Not by the foreign keys' cascade, which session_replication_role = replica disables.
    run("DELETE FROM fastcopy.chunk WHERE job = $1", &p, SPI_OK_DELETE);
    run("DELETE FROM fastcopy.definition WHERE job = $1", &p, SPI_OK_DELETE);
    run("DELETE FROM fastcopy.foreign_key WHERE job = $1", &p, SPI_OK_DELETE);
    run("DELETE FROM fastcopy.setting WHERE job = $1", &p, SPI_OK_DELETE);
    run("DELETE FROM fastcopy.notice WHERE job = $1", &p, SPI_OK_DELETE);
    run("DELETE FROM fastcopy.unlogged_job WHERE job = $1", &p, SPI_OK_DELETE);
    run("DELETE FROM fastcopy.job_table WHERE job = $1", &p, SPI_OK_DELETE);
    run("DELETE FROM fastcopy.job WHERE job = $1", &p, SPI_OK_DELETE);
    close(session);
}

}  // namespace fastcopy::job::ledger
