// What the ledger says of a job that is to be resumed, or to be proved done.
#include "job/ledger.hpp"
#include "job/ledger_session.hpp"

namespace fastcopy::job::ledger {

namespace {

// Within a session.
void read_tables(int64 job, ResumeState *former, MemoryContext caller) {
    Params p;
    p.add_int8(job);
    read(
        "SELECT source_table, target_table, target::int8, source_relations, source_columns,"
        " target_files, target_unlogged, chunks::int8, (SELECT count(*) FROM fastcopy.chunk c"
        " WHERE c.job = t.job AND c.table_number = t.number AND c.done) AS chunks_done"
        " FROM fastcopy.job_table t WHERE job = $1 ORDER BY number",
        &p);
    former->ntables = static_cast<int>(SPI_processed);
    former->tables = static_cast<ResumeTable *>(
        MemoryContextAllocZero(caller, sizeof(ResumeTable) * Max(SPI_processed, 1)));
    for (uint64 i = 0; i < SPI_processed; i++) {
        ResumeTable *table = &former->tables[i];
        table->source_table = field("source_table", caller, i);
        table->target_table = field("target_table", caller, i);
        table->target = static_cast<Oid>(field_int8("target", 0, i));
        table->markers = TableMarkers{.relations = field("source_relations", caller, i),
                                      .columns = field("source_columns", caller, i)};
        MemoryContext old = MemoryContextSwitchTo(caller);
        table->files.files = field_texts("target_files", &table->files.count, i);
        MemoryContextSwitchTo(old);
        table->files.unlogged = field_bool("target_unlogged", i);
        table->chunks = static_cast<int>(field_int8("chunks", 0, i));
        table->chunks_done = static_cast<int>(field_int8("chunks_done", 0, i));
    }
}

}  // namespace

ResumeState read_resume_state(int64 job) {
    MemoryContext caller = CurrentMemoryContext;
    Session session = open();
    Params p;
    p.add_int8(job);
    read(
        "SELECT owner::int8, state, source,"
        " workers::int8, triggers, statistics, j.chunks::int8, source_server, source_snapshot,"
        " source_position, EXISTS (SELECT FROM fastcopy.job_table t WHERE t.job = j.job"
        " AND t.target_unlogged)"
        " AND NOT EXISTS (SELECT FROM fastcopy.unlogged_job u WHERE u.job = j.job)"
        " AS unlogged_emptied, c.chunks_done, c.rows, c.bytes, j.indexes = 'rebuild' AS rebuild,"
        " i.definitions, i.definitions_done, c.chunks_short,"
        " coalesce(j.sqlstate = '08007', false) AS unresolved, source_encoding, sequences, clone,"
        " created"
        " FROM fastcopy.job j CROSS JOIN LATERAL (SELECT count(*) AS chunks_done,"
        " coalesce(sum(coalesce(rows_sent, rows)), 0)::int8 AS rows,"
        " coalesce(sum(bytes), 0)::int8 AS bytes,"
        " count(*) FILTER (WHERE rows IS DISTINCT FROM rows_sent AND NOT may_drop_rows)"
        " AS chunks_short"
        " FROM fastcopy.chunk k WHERE k.job = j.job AND k.done) c"
        " CROSS JOIN LATERAL (SELECT count(*) AS definitions,"
        " count(*) FILTER (WHERE done) AS definitions_done"
        " FROM fastcopy.definition i WHERE i.job = j.job) i WHERE j.job = $1",
        &p);
    if (SPI_processed != 1)
        raise_gone(job);
    ResumeState former{};
    former.owner = static_cast<Oid>(field_int8("owner", 0));
    former.state = field("state", caller);
    former.source = field("source", caller);
    former.workers = static_cast<int>(field_int8("workers", 0));
    former.triggers = field_bool("triggers");
    former.statistics = field_bool("statistics");
    former.rebuild_indexes = field_bool("rebuild");
    former.source_encoding = field("source_encoding", caller);
    former.sequences = field_bool("sequences");
    former.clone = field_bool("clone");
    former.create = field_bool("created");
    former.definitions = static_cast<int>(field_int8("definitions", 0));
    former.definitions_done = static_cast<int>(field_int8("definitions_done", 0));
    former.chunks = static_cast<int>(field_int8("chunks", 0));
    former.markers = SourceMarkers{.server = field("source_server", caller),
                                   .snapshot = field("source_snapshot", caller),
                                   .position = field("source_position", caller)};
    former.unlogged_emptied = field_bool("unlogged_emptied");
    former.chunks_done = static_cast<int>(field_int8("chunks_done", 0));
    former.rows = field_int8("rows", 0);
    former.bytes = field_int8("bytes", 0);
    former.unresolved = field_bool("unresolved");
    former.chunks_short = static_cast<int>(field_int8("chunks_short", 0));
    read_tables(job, &former, caller);
    close(session);
    return former;
}

const char *read_source_snapshot(int64 job) {
    MemoryContext caller = CurrentMemoryContext;
    Session session = open();
    Params p;
    p.add_int8(job);
    read("SELECT source_snapshot FROM fastcopy.job WHERE job = $1", &p);
    if (SPI_processed != 1)
        raise_gone(job);
    const char *snapshot = field("source_snapshot", caller);
    close(session);
    return snapshot;
}

void raise_if_done(int64 job, const ResumeState &state) {
    if (strcmp(state.state, name_of(State::done)) == 0)
        ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                        errmsg("fastcopy job " INT64_FORMAT " is done", job)));
}

}  // namespace fastcopy::job::ledger
