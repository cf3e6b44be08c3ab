#include "job/ledger_chunks.hpp"

#include <initializer_list>

#include "job/ledger_session.hpp"

namespace fastcopy::job::ledger {

namespace {

// Parses the column `relation` of a chunk: a qualified name, preceded by ONLY or not.
Relation to_relation(const char *text) {
    constexpr size_t only_length = sizeof("ONLY ") - 1;
    bool only = strncmp(text, "ONLY ", only_length) == 0;
    return Relation{only ? text + only_length : text, only};
}

plan::Kind to_kind(const char *name) {
    for (plan::Kind kind :
         {plan::Kind::whole, plan::Kind::blocks, plan::Kind::range, plan::Kind::keys}) {
        if (strcmp(name, plan::name_of(kind)) == 0)
            return kind;
    }
    return plan::Kind::nulls;
}

}  // namespace

void add_chunks(int64 job, const plan::Chunk *chunks, int count) {
    Inserter inserter{"fastcopy.chunk", nullptr};
    MemoryContext per_chunk =
        AllocSetContextCreate(CurrentMemoryContext, "fastcopy ledger chunk", ALLOCSET_SMALL_SIZES);
    for (int i = 0; i < count; i++) {
        const plan::Chunk &chunk = chunks[i];
        bool blocks = chunk.kind == plan::Kind::blocks;
        MemoryContext old = MemoryContextSwitchTo(per_chunk);
        Row row;
        row.column("job").add_int8(job);
        row.column("chunk").add_int4(chunk.number);
        row.column("table_number").add_int4(chunk.table);
        row.column("relation")
            .add_text(psprintf("%s%s", chunk.only ? "ONLY " : "", chunk.relation));
        row.column("kind").add_text(plan::name_of(chunk.kind));
        row.column("first_block").add_int8(chunk.first_block, !blocks);
        row.column("end_block").add_int8(chunk.end_block, !blocks || chunk.end_block < 0);
        row.column("key").add_text(chunk.key);
        row.column("key_type").add_text(chunk.key_type);
        row.column("less").add_text(chunk.less);
        row.column("not_less").add_text(chunk.not_less);
        row.column("lower_bound").add_text(chunk.lower);
        row.column("upper_bound").add_text(chunk.upper);
        inserter.insert(&row);
        MemoryContextSwitchTo(old);
        MemoryContextReset(per_chunk);
    }
}

plan::Chunk read_chunk(int64 job, int32 number) {
    MemoryContext caller = CurrentMemoryContext;
    Session session = open();
    Params p;
    p.add_int8(job);
    p.add_int4(number);
    read(
        "SELECT table_number::int8, relation, kind, first_block, end_block, key, key_type, less, "
        "not_less, lower_bound,"
        " upper_bound, done, rows_sent, rows, bytes"
        " FROM fastcopy.chunk WHERE job = $1 AND chunk = $2",
        &p);
    if (SPI_processed != 1)
        ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
                        errmsg("chunk %d of job " INT64_FORMAT " is no longer in the ledger",
                               number, job)));
    plan::Chunk chunk;
    chunk.number = number;
    chunk.table = static_cast<int32>(field_int8("table_number", 1));
    Relation relation = to_relation(field("relation", caller));
    chunk.relation = relation.name;
    chunk.only = relation.only;
    chunk.kind = to_kind(field("kind", caller));
    chunk.first_block = field_int8("first_block", 0);
    chunk.end_block = field_int8("end_block", -1);
    chunk.key = field("key", caller);
    chunk.key_type = field("key_type", caller);
    chunk.less = field("less", caller);
    chunk.not_less = field("not_less", caller);
    chunk.lower = field("lower_bound", caller);
    chunk.upper = field("upper_bound", caller);
    chunk.done = field_bool("done");
    chunk.rows_sent = static_cast<uint64>(field_int8("rows_sent", 0));
    chunk.rows = static_cast<uint64>(field_int8("rows", 0));
    chunk.bytes = static_cast<uint64>(field_int8("bytes", 0));
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
        ereport(
            ERROR,
            (errcode(ERRCODE_DATA_CORRUPTED),
             errmsg("chunk %d of job " INT64_FORMAT " could not be marked done", chunk.number, job),
             errdetail("The chunk is marked done already, or is no longer in the ledger.")));
    close(session);
}

Bitmapset *read_done_chunks(int64 job) {
    MemoryContext caller = CurrentMemoryContext;
    Session session = open();
    Params p;
    p.add_int8(job);
    read("SELECT chunk::int8 FROM fastcopy.chunk WHERE job = $1 AND done", &p);
    MemoryContext old = MemoryContextSwitchTo(caller);
    Bitmapset *chunks = nullptr;
    for (uint64 i = 0; i < SPI_processed; i++)
        chunks = bms_add_member(chunks, static_cast<int>(field_int8("chunk", 0, i)));
    MemoryContextSwitchTo(old);
    close(session);
    return chunks;
}

Relations read_done_relations(int64 job, int32 table) {
    MemoryContext caller = CurrentMemoryContext;
    Session session = open();
    Params p;
    p.add_int8(job);
    p.add_int4(table);
    read(
        "SELECT coalesce(array_agg(DISTINCT relation), '{}') AS relations FROM fastcopy.chunk"
        " WHERE job = $1 AND table_number = $2 AND done",
        &p);
    MemoryContext old = MemoryContextSwitchTo(caller);
    Relations relations{};
    const char **texts = field_texts("relations", &relations.count);
    relations.relations =
        static_cast<Relation *>(palloc(sizeof(Relation) * Max(relations.count, 1)));
    for (int i = 0; i < relations.count; i++)
        relations.relations[i] = to_relation(texts[i]);
    MemoryContextSwitchTo(old);
    close(session);
    return relations;
}

}  // namespace fastcopy::job::ledger
