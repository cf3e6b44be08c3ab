#include "job/ledger_chunks.hpp"

#include <initializer_list>

#include "job/ledger_session.hpp"
#include "job/registry.hpp"

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

#define CHUNK_COLUMNS                                                                           \
    "chunk::int8, table_number::int8, relation, kind, first_block, end_block, c.key, key_type," \
    " less, not_less, lower_bound, upper_bound, done, rows_sent, rows, bytes"

namespace {

// The chunk of a row with these columns. Palloc'd in the context.
plan::Chunk to_chunk(uint64 row, MemoryContext context) {
    plan::Chunk chunk;
    chunk.number = static_cast<int32>(field_int8("chunk", 0, row));
    chunk.table = static_cast<int32>(field_int8("table_number", 1, row));
    Relation relation = to_relation(field("relation", context, row));
    chunk.relation = relation.name;
    chunk.only = relation.only;
    chunk.kind = to_kind(field("kind", context, row));
    chunk.first_block = field_int8("first_block", 0, row);
    chunk.end_block = field_int8("end_block", -1, row);
    chunk.key = field("key", context, row);
    chunk.key_type = field("key_type", context, row);
    chunk.less = field("less", context, row);
    chunk.not_less = field("not_less", context, row);
    chunk.lower = field("lower_bound", context, row);
    chunk.upper = field("upper_bound", context, row);
    chunk.done = field_bool("done", row);
    chunk.rows_sent = static_cast<uint64>(field_int8("rows_sent", 0, row));
    chunk.rows = static_cast<uint64>(field_int8("rows", 0, row));
    chunk.bytes = static_cast<uint64>(field_int8("bytes", 0, row));
    return chunk;
}

}  // namespace

plan::Chunk read_chunk(int64 job, int32 number) {
    MemoryContext caller = CurrentMemoryContext;
    Session session = open();
    Params p;
    p.add_int8(job);
    p.add_int4(number);
    read("SELECT " CHUNK_COLUMNS " FROM fastcopy.chunk c WHERE job = $1 AND chunk = $2", &p);
    if (SPI_processed != 1)
        ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
                        errmsg("chunk %d of job " INT64_FORMAT " is no longer in the ledger",
                               number, job)));
    plan::Chunk chunk = to_chunk(0, caller);
    close(session);
    return chunk;
}

std::span<ChunkOfTable> read_undone_chunks(int64 job, int32 first, int32 count) {
    MemoryContext caller = CurrentMemoryContext;
    Session session = open();
    Params p;
    p.add_int8(job);
    p.add_int4(first);
    p.add_int4(first + count);
    read("SELECT " CHUNK_COLUMNS ", " TABLE_COLUMNS
         " FROM fastcopy.chunk c JOIN fastcopy.job_table t ON t.job = c.job AND t.number = "
         "c.table_number WHERE c.job = $1 AND c.chunk >= $2 AND c.chunk < $3 AND NOT c.done"
         " ORDER BY c.chunk",
         &p);
    auto *chunks = static_cast<ChunkOfTable *>(
        MemoryContextAlloc(caller, sizeof(ChunkOfTable) * Max(SPI_processed, 1)));
    for (uint64 i = 0; i < SPI_processed; i++)
        chunks[i] = ChunkOfTable{to_chunk(i, caller), to_table_row(i, caller)};
    std::span<ChunkOfTable> undone{chunks, SPI_processed};
    close(session);
    return undone;
}

int32 last_chunk_of_others(int64 job, std::span<const int32> tables) {
    Session session = open();
    Params p;
    p.add_int8(job);
    p.add(INT4ARRAYOID, int4_array(tables.data(), static_cast<int>(tables.size())));
    read(
        "SELECT max(chunk)::int8 AS chunk FROM fastcopy.chunk"
        " WHERE job = $1 AND NOT (kind = 'whole' AND table_number = ANY ($2))",
        &p);
    auto chunk = static_cast<int32>(field_int8("chunk", 0));
    close(session);
    return chunk;
}

void mark_done(int64 job, std::span<const CopiedChunk> chunks) {
    constexpr size_t most = most_claimed;
    int32 numbers[most], workers[most], retries[most];
    int64 rows[most], bytes[most], started_at[most], rows_sent[most];
    bool may_drop_rows[most];
    auto count = static_cast<int>(chunks.size());
    Assert(chunks.size() <= most);
    for (int i = 0; i < count; i++) {
        numbers[i] = chunks[i].number;
        workers[i] = chunks[i].worker;
        rows[i] = static_cast<int64>(chunks[i].rows);
        bytes[i] = static_cast<int64>(chunks[i].bytes);
        started_at[i] = chunks[i].started_at;
        retries[i] = chunks[i].retries;
        rows_sent[i] = static_cast<int64>(chunks[i].rows_sent);
        may_drop_rows[i] = chunks[i].may_drop_rows;
    }
    Session session = open();
    Params p;
    p.add_int8(job);
    p.add(INT4ARRAYOID, int4_array(numbers, count));
    p.add(INT4ARRAYOID, int4_array(workers, count));
    p.add(INT8ARRAYOID, int8_array(rows, count));
    p.add(INT8ARRAYOID, int8_array(bytes, count));
    p.add(TIMESTAMPTZARRAYOID, int8_array(started_at, count, TIMESTAMPTZOID));
    p.add_time(GetCurrentTimestamp());
    p.add(INT4ARRAYOID, int4_array(retries, count));
    p.add(INT8ARRAYOID, int8_array(rows_sent, count));
    p.add(BOOLARRAYOID, bool_array(may_drop_rows, count));
    run("UPDATE fastcopy.chunk c SET done = true, worker = d.worker, rows = d.rows,"
        " bytes = d.bytes, started_at = d.started_at, finished_at = $7, retries = d.retries,"
        " rows_sent = d.rows_sent, may_drop_rows = d.may_drop_rows"
        " FROM unnest($2, $3, $4, $5, $6, $8, $9, $10) d(chunk, worker, rows, bytes, started_at,"
        " retries, rows_sent, may_drop_rows)"
        " WHERE c.job = $1 AND c.chunk = d.chunk AND NOT c.done",
        &p, SPI_OK_UPDATE);
    if (SPI_processed != chunks.size())
        ereport(
            ERROR,
            (errcode(ERRCODE_DATA_CORRUPTED),
             count == 1 ? errmsg("chunk %d of job " INT64_FORMAT " could not be marked done",
                                 numbers[0], job)
                        : errmsg("chunks %d to %d of job " INT64_FORMAT " could not be marked done",
                                 numbers[0], numbers[count - 1], job),
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
