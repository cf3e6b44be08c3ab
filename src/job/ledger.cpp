#include "job/ledger.hpp"

#include <initializer_list>

#include "job/ledger_session.hpp"

namespace fastcopy::job::ledger {

namespace {

void add_markers(Params *params, const SourceMarkers &markers) {
    params->add_text(markers.server);
    params->add_text(markers.snapshot);
    params->add_text(markers.position);
    params->add_text(markers.relations);
    params->add_text(markers.columns);
}

// The column `relation` of a chunk: ONLY and a name, or a name, which is never ONLY's, being qualified.
Relation to_relation(const char *text) {
    constexpr size_t only_length = sizeof("ONLY ") - 1;
    bool only = strncmp(text, "ONLY ", only_length) == 0;
    return Relation{only ? text + only_length : text, only};
}

plan::Kind to_kind(const char *name) {
    for (plan::Kind kind : {plan::Kind::whole, plan::Kind::blocks, plan::Kind::range}) {
        if (strcmp(name, plan::name_of(kind)) == 0)
            return kind;
    }
    return plan::Kind::nulls;
}

// What a crash empties along with the target: that it is there says that the target was not emptied. Within a session.
void note_unlogged(int64 job, const TargetFiles &files) {
    if (!files.unlogged)
        return;
    Params p;
    p.add_int8(job);
    run("INSERT INTO fastcopy.unlogged_job (job) VALUES ($1) ON CONFLICT DO NOTHING", &p,
        SPI_OK_INSERT);
}

// Sets one column of a job's row.
void write_text(int64 job, const char *column, const char *text) {
    Session session = open();
    Params p;
    p.add_int8(job);
    p.add_text(text);
    run(psprintf("UPDATE fastcopy.job SET %s = $2 WHERE job = $1", column), &p, SPI_OK_UPDATE);
    close(session);
}

}  // namespace

int64 next_job() {
    Session session = open();
    Params none;
    run("SELECT nextval('fastcopy.job_id')", &none, SPI_OK_SELECT);
    int64 job = field_int8(1, 0);
    close(session);
    return job;
}

void add_job(int64 job, const Request &request, const plan::RowShape &shape, Oid owner,
             TimestampTz started_at, const plan::Chunk *chunks, int nchunks,
             const SourceMarkers &markers, const TargetFiles &files) {
    Session session = open();
    Params p;
    p.add_int8(job);
    p.add_oid(owner);
    p.add_text(request.safe_source);
    p.add_text(request.source_table);
    p.add_text(request.target_table);
    p.add_oid(request.target);
    p.add(TEXTARRAYOID, text_array(shape.columns, shape.ncolumns));
    p.add(OIDARRAYOID, oid_array(shape.types, shape.ncolumns));
    p.add_text(request.key);
    p.add_text(shape.filter);
    p.add_text(shape.binary ? "binary" : "text");
    p.add_bool(request.truncate);
    p.add_bool(request.triggers);
    p.add_bool(request.statistics);
    p.add_int4(request.workers);
    p.add_int4(nchunks);
    p.add_time(started_at);
    add_markers(&p, markers);
    p.add(TEXTARRAYOID, text_array(files.files, files.count));
    p.add_bool(files.unlogged);
    p.add_text(request.rebuild_indexes ? "rebuild" : "keep");
    p.add_text(request.source_encoding);
    p.add_bool(request.sequences);
    run("INSERT INTO fastcopy.job (job, owner, source, source_table, target_table, target, columns,"
        " column_types, key, filter, format, truncate, triggers, statistics, workers, chunks,"
        " started_at, source_server, source_snapshot, source_position, source_relations,"
        " source_columns, target_files, target_unlogged, indexes, source_encoding,"
        " sequences, state)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18,"
        " $19, $20, $21, $22, $23, $24, $25, $26, $27, 'copying')",
        &p, SPI_OK_INSERT);
    note_unlogged(job, files);

    Oid types[] = {INT8OID, INT4OID, TEXTOID, TEXTOID, INT8OID, INT8OID,
                   TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID};
    SPIPlanPtr insert = SPI_prepare(
        "INSERT INTO fastcopy.chunk (job, chunk, relation, kind, first_block, end_block, key,"
        " key_type, less, not_less, lower_bound, upper_bound)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
        lengthof(types), types);
    if (insert == nullptr)
        elog(ERROR, "SPI_prepare failed: %s", SPI_result_code_string(SPI_result));
    MemoryContext per_chunk =
        AllocSetContextCreate(CurrentMemoryContext, "fastcopy ledger chunk", ALLOCSET_SMALL_SIZES);
    for (int i = 0; i < nchunks; i++) {
        const plan::Chunk &chunk = chunks[i];
        MemoryContext old = MemoryContextSwitchTo(per_chunk);
        Params c;
        c.add_int8(job);
        c.add_int4(chunk.number);
        c.add_text(psprintf("%s%s", chunk.only ? "ONLY " : "", chunk.relation));
        c.add_text(plan::name_of(chunk.kind));
        c.add_int8(chunk.first_block, chunk.kind != plan::Kind::blocks);
        c.add_int8(chunk.end_block, chunk.kind != plan::Kind::blocks || chunk.end_block < 0);
        c.add_text(chunk.key);
        c.add_text(chunk.key_type);
        c.add_text(chunk.less);
        c.add_text(chunk.not_less);
        c.add_text(chunk.lower);
        c.add_text(chunk.upper);
        int result = SPI_execute_plan(insert, c.values, c.nulls, false, 0);
        MemoryContextSwitchTo(old);
        MemoryContextReset(per_chunk);
        if (result != SPI_OK_INSERT)
            elog(ERROR, "could not insert chunk: %s", SPI_result_code_string(result));
    }
    close(session);
}

void begin_again(int64 job, const Request &request, const SourceMarkers &markers,
                 const TargetFiles &files) {
    Session session = open();
    Params p;
    p.add_int8(job);
    p.add_text(request.safe_source);
    p.add_int4(request.workers);
    p.add_time(GetCurrentTimestamp());
    add_markers(&p, markers);
    p.add(TEXTARRAYOID, text_array(files.files, files.count));
    p.add_bool(files.unlogged);
    // An interrupted job has worked until its last chunk, as far as anybody knows.
    run("UPDATE fastcopy.job j SET state = 'copying', source = $2, workers = $3, resumed_at = $4,"
        " resumes = resumes + 1, vain_resumes = CASE WHEN resumed_at IS NULL OR EXISTS (SELECT FROM"
        " fastcopy.chunk c WHERE c.job = j.job AND c.finished_at > resumed_at)"
        " OR EXISTS (SELECT FROM fastcopy.index i WHERE i.job = j.job AND i.finished_at > "
        "resumed_at)"
        " THEN 0 ELSE vain_resumes END + 1, worked_before = worked_before + (coalesce(finished_at,"
        " greatest((SELECT max(c.finished_at) FROM fastcopy.chunk c WHERE c.job = j.job),"
        " resumed_at, started_at)) - coalesce(resumed_at, started_at)),"
        " finished_at = NULL, sqlstate = NULL, error = NULL, detail = NULL, hint = NULL,"
        " context = NULL, failed_chunk = NULL, notice = NULL, crew_notice = NULL, source_server = "
        "$5, source_snapshot "
        "= $6,"
        " source_position = $7, source_relations = $8, source_columns = $9, target_files = $10,"
        " target_unlogged = $11 WHERE job = $1",
        &p, SPI_OK_UPDATE);
    if (SPI_processed != 1)
        raise_gone(job);
    note_unlogged(job, files);
    close(session);
}

void add_target_files(int64 job, const TargetFiles &files) {
    Session session = open();
    Params p;
    p.add_int8(job);
    p.add(TEXTARRAYOID, text_array(files.files, files.count));
    p.add_bool(files.unlogged);
    run("UPDATE fastcopy.job SET target_files = ARRAY(SELECT unnest(target_files) UNION"
        " SELECT unnest($2)), target_unlogged = target_unlogged OR $3 WHERE job = $1",
        &p, SPI_OK_UPDATE);
    note_unlogged(job, files);
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
        " AND NOT EXISTS (SELECT FROM fastcopy.index i WHERE i.job = $1 AND NOT i.done)"
        " AND NOT EXISTS (SELECT FROM fastcopy.foreign_key k WHERE k.job = $1 AND NOT k.done))",
        &p, SPI_OK_UPDATE);
    if (SPI_processed != 1 && state == State::done)
        ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
                        errmsg("fastcopy job " INT64_FORMAT " cannot be done", job),
                        errdetail("A chunk, an index or a foreign key of it is not done, or the "
                                  "job is no longer in the ledger."),
                        errhint("fastcopy.resume(" INT64_FORMAT ") continues the job.", job)));
    close(session);
}

void write_snapshot(int64 job, const char *snapshot) {
    write_text(job, "source_snapshot", snapshot);
}

void write_crew_notice(int64 job, const char *notice) {
    write_text(job, "crew_notice", notice);
}

void write_notice(int64 job, const char *notice) {
    write_text(job, "notice", notice);
}

plan::RowShape read_shape(int64 job) {
    MemoryContext caller = CurrentMemoryContext;
    Session session = open();
    Params p;
    p.add_int8(job);
    read("SELECT columns, filter, format, column_types FROM fastcopy.job WHERE job = $1", &p);
    if (SPI_processed != 1)
        raise_gone(job);
    plan::RowShape shape;
    bool is_null;
    MemoryContext old = MemoryContextSwitchTo(caller);
    shape.columns = field_texts(1, &shape.ncolumns);
    Datum types = field_datum(4, &is_null);
    ArrayType *array = DatumGetArrayTypePCopy(types);
    shape.types = reinterpret_cast<Oid *>(ARR_DATA_PTR(array));
    if (ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array)) != shape.ncolumns)
        elog(ERROR, "ledger of job " INT64_FORMAT " has columns without types", job);
    MemoryContextSwitchTo(old);
    shape.filter = field(2, caller);
    shape.binary = strcmp(field(3, caller), "binary") == 0;
    close(session);
    read_wire(job, &shape);
    return shape;
}

plan::Chunk read_chunk(int64 job, int32 number) {
    MemoryContext caller = CurrentMemoryContext;
    Session session = open();
    Params p;
    p.add_int8(job);
    p.add_int4(number);
    read(
        "SELECT relation, kind, first_block, end_block, key, key_type, less, not_less, lower_bound,"
        " upper_bound, done, rows_sent, rows, bytes"
        " FROM fastcopy.chunk WHERE job = $1 AND chunk = $2",
        &p);
    if (SPI_processed != 1)
        ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
                        errmsg("chunk %d of job " INT64_FORMAT " is no longer in the ledger",
                               number, job)));
    plan::Chunk chunk;
    chunk.number = number;
    Relation relation = to_relation(field(1, caller));
    chunk.relation = relation.name;
    chunk.only = relation.only;
    chunk.kind = to_kind(field(2, caller));
    chunk.first_block = field_int8(3, 0);
    chunk.end_block = field_int8(4, -1);
    chunk.key = field(5, caller);
    chunk.key_type = field(6, caller);
    chunk.less = field(7, caller);
    chunk.not_less = field(8, caller);
    chunk.lower = field(9, caller);
    chunk.upper = field(10, caller);
    chunk.done = strcmp(field(11, caller), "t") == 0;
    chunk.rows_sent = static_cast<uint64>(field_int8(12, 0));
    chunk.rows = static_cast<uint64>(field_int8(13, 0));
    chunk.bytes = static_cast<uint64>(field_int8(14, 0));
    close(session);
    return chunk;
}

void mark_done(int64 job, const CopiedChunk &chunk) {
    Session session = open();
    Params p;
    p.add_int8(job);
    p.add_int4(chunk.number);
    p.add_int4(chunk.worker);
    p.add_int8(static_cast<int64>(chunk.rows));
    p.add_int8(static_cast<int64>(chunk.bytes));
    p.add_time(chunk.started_at);
    p.add_time(GetCurrentTimestamp());
    p.add_int4(chunk.retries);
    p.add_int8(static_cast<int64>(chunk.rows_sent));
    p.add_bool(chunk.may_drop_rows);
    run("UPDATE fastcopy.chunk SET done = true, worker = $3, rows = $4, bytes = $5,"
        " started_at = $6, finished_at = $7, retries = $8, rows_sent = $9, may_drop_rows = $10"
        " WHERE job = $1 AND chunk = $2 AND NOT done",
        &p, SPI_OK_UPDATE);
    if (SPI_processed != 1)
        ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
                        errmsg("chunk %d of job " INT64_FORMAT " could not be marked done",
                               chunk.number, job),
                        errdetail("It is marked done already, or it is no longer in the ledger.")));
    close(session);
}

JobRow read_job(int64 job) {
    MemoryContext caller = CurrentMemoryContext;
    Session session = open();
    Params p;
    p.add_int8(job);
    read(
        "SELECT owner::int8, state, (SELECT coalesce(sum(coalesce(rows_sent, rows)), 0)::int8"
        " FROM fastcopy.chunk c WHERE c.job = j.job AND c.done), error, notice"
        " FROM fastcopy.job j WHERE job = $1",
        &p);
    JobRow row{};
    if (SPI_processed == 1) {
        row.found = true;
        row.owner = static_cast<Oid>(field_int8(1, 0));
        row.state = field(2, caller);
        row.rows = field_int8(3, 0);
        row.has_error = field(4, caller) != nullptr;
        row.notice = field(5, caller);
    }
    close(session);
    return row;
}

Former read_former(int64 job) {
    MemoryContext caller = CurrentMemoryContext;
    Session session = open();
    Params p;
    p.add_int8(job);
    read(
        "SELECT owner::int8, state, source, source_table, target_table, target::int8,"
        " workers::int8, triggers, statistics, j.chunks::int8, source_server, source_snapshot,"
        " source_position, source_relations, source_columns, target_files, target_unlogged,"
        " target_unlogged AND NOT EXISTS (SELECT FROM fastcopy.unlogged_job u WHERE u.job = j.job),"
        " c.chunks, c.rows, c.bytes, j.indexes = 'rebuild', i.indexes, i.done, c.short,"
        " coalesce(j.sqlstate = '08007', false),"
        " source_encoding, sequences"
        " FROM fastcopy.job j CROSS JOIN LATERAL (SELECT count(*) AS chunks,"
        " coalesce(sum(coalesce(rows_sent, rows)), 0)::int8 AS rows,"
        " coalesce(sum(bytes), 0)::int8 AS bytes,"
        " count(*) FILTER (WHERE rows IS DISTINCT FROM rows_sent AND NOT may_drop_rows) AS short"
        " FROM fastcopy.chunk k WHERE k.job = j.job AND k.done) c"
        " CROSS JOIN LATERAL (SELECT count(*) AS indexes, count(*) FILTER (WHERE done) AS done"
        " FROM fastcopy.index i WHERE i.job = j.job) i WHERE j.job = $1",
        &p);
    if (SPI_processed != 1)
        raise_gone(job);
    auto is_true = [](int column) {
        bool is_null;
        return DatumGetBool(field_datum(column, &is_null));
    };
    Former former{};
    former.owner = static_cast<Oid>(field_int8(1, 0));
    former.state = field(2, caller);
    former.source = field(3, caller);
    former.source_table = field(4, caller);
    former.target_table = field(5, caller);
    former.target = static_cast<Oid>(field_int8(6, 0));
    former.workers = static_cast<int>(field_int8(7, 0));
    former.triggers = is_true(8);
    former.statistics = is_true(9);
    former.chunks = static_cast<int>(field_int8(10, 0));
    former.markers = SourceMarkers{field(11, caller), field(12, caller), field(13, caller),
                                   field(14, caller), field(15, caller)};
    MemoryContext old = MemoryContextSwitchTo(caller);
    former.files.files = field_texts(16, &former.files.count);
    MemoryContextSwitchTo(old);
    former.files.unlogged = is_true(17);
    former.unlogged_emptied = is_true(18);
    former.chunks_done = static_cast<int>(field_int8(19, 0));
    former.rows = field_int8(20, 0);
    former.bytes = field_int8(21, 0);
    former.rebuild_indexes = is_true(22);
    former.indexes = static_cast<int>(field_int8(23, 0));
    former.indexes_done = static_cast<int>(field_int8(24, 0));
    former.chunks_short = static_cast<int>(field_int8(25, 0));
    former.unresolved = is_true(26);
    former.source_encoding = field(27, caller);
    former.sequences = is_true(28);
    close(session);
    return former;
}

Bitmapset *read_done_chunks(int64 job) {
    MemoryContext caller = CurrentMemoryContext;
    Session session = open();
    Params p;
    p.add_int8(job);
    read("SELECT chunk::int8 FROM fastcopy.chunk WHERE job = $1 AND done", &p);
    MemoryContext old = MemoryContextSwitchTo(caller);
    Bitmapset *chunks = nullptr;
    for (uint64 i = 0; i < SPI_processed; i++) {
        bool is_null;
        Datum chunk = SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &is_null);
        chunks = bms_add_member(chunks, static_cast<int>(DatumGetInt64(chunk)));
    }
    MemoryContextSwitchTo(old);
    close(session);
    return chunks;
}

TargetFiles read_target_files(int64 job) {
    MemoryContext caller = CurrentMemoryContext;
    Session session = open();
    Params p;
    p.add_int8(job);
    read("SELECT target_files FROM fastcopy.job WHERE job = $1", &p);
    if (SPI_processed != 1)
        raise_gone(job);
    TargetFiles files{};
    MemoryContext old = MemoryContextSwitchTo(caller);
    files.files = field_texts(1, &files.count);
    MemoryContextSwitchTo(old);
    close(session);
    return files;
}

Relations read_done_relations(int64 job) {
    MemoryContext caller = CurrentMemoryContext;
    Session session = open();
    Params p;
    p.add_int8(job);
    read(
        "SELECT coalesce(array_agg(DISTINCT relation), '{}') FROM fastcopy.chunk"
        " WHERE job = $1 AND done",
        &p);
    MemoryContext old = MemoryContextSwitchTo(caller);
    Relations relations{};
    const char **texts = field_texts(1, &relations.count);
    relations.relations =
        static_cast<Relation *>(palloc(sizeof(Relation) * Max(relations.count, 1)));
    for (int i = 0; i < relations.count; i++)
        relations.relations[i] = to_relation(texts[i]);
    MemoryContextSwitchTo(old);
    close(session);
    return relations;
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
    const char *sqlstate = field(1, caller);
    const char *message = field(2, caller);
    const char *detail = field(3, caller);
    const char *hint = field(4, caller);
    const char *context = field(5, caller);
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
    for (uint64 i = 0; i < SPI_processed; i++) {
        bool is_null;
        jobs[i] =
            DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &is_null));
    }
    close(session);
    return jobs;
}

void remove_job(int64 job) {
    Session session = open();
    Params p;
    p.add_int8(job);
    // Not left to the foreign key, which session_replication_role = replica switches off.
    run("DELETE FROM fastcopy.chunk WHERE job = $1", &p, SPI_OK_DELETE);
    run("DELETE FROM fastcopy.index WHERE job = $1", &p, SPI_OK_DELETE);
    run("DELETE FROM fastcopy.foreign_key WHERE job = $1", &p, SPI_OK_DELETE);
    run("DELETE FROM fastcopy.setting WHERE job = $1", &p, SPI_OK_DELETE);
    run("DELETE FROM fastcopy.unlogged_job WHERE job = $1", &p, SPI_OK_DELETE);
    run("DELETE FROM fastcopy.job WHERE job = $1", &p, SPI_OK_DELETE);
    close(session);
}

}  // namespace fastcopy::job::ledger
