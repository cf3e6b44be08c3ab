// The ledger of the definitions that jobs make once all rows are in.
#include "job/ledger.hpp"
#include "job/ledger_session.hpp"

namespace fastcopy::job::ledger {

// $1: the job, $2: the stage, $3: the table, or 0.
#define TO_CLAIM                                                           \
    " FROM fastcopy.definition WHERE job = $1 AND stage = $2 AND NOT done" \
    " AND ($3 = 0 OR table_number = $3 AND NOT EXISTS (SELECT"             \
    " FROM fastcopy.chunk c WHERE c.job = $1 AND c.table_number = $3 AND NOT c.done))"

void add_definitions(int64 job, int32 first, std::span<const Definition> definitions) {
    Session session = open();
    Inserter inserter{"fastcopy.definition", nullptr};
    MemoryContext per_row = AllocSetContextCreate(
        CurrentMemoryContext, "fastcopy ledger definition", ALLOCSET_SMALL_SIZES);
    int32 number = first;
    for (const Definition &definition : definitions) {
        MemoryContext old = MemoryContextSwitchTo(per_row);
        Row row;
        row.column("job").add_int8(job);
        row.column("number").add_int4(number++);
        row.column("table_number").add_int4(definition.table, definition.table == 0);
        row.column("stage").add_int4(static_cast<int32>(definition.stage));
        row.column("kind").add_text(definition.kind);
        row.column("index").add_oid(definition.index);
        row.column("name").add_text(definition.name);
        row.column("definition").add_text(definition.sql);
        inserter.insert(&row);
        MemoryContextSwitchTo(old);
        MemoryContextReset(per_row);
    }
    close(session);
}

ClaimedDefinition claim_definition(int64 job, Stage stage, int32 table) {
    MemoryContext caller = CurrentMemoryContext;
    Session session = open();
    Params p;
    p.add_int8(job);
    p.add_int4(static_cast<int32>(stage));
    p.add_int4(table);
    run("SELECT number::int8, index::int8, kind, name, definition, coalesce(table_number, 0)::int8"
        " AS table_number" TO_CLAIM " ORDER BY number LIMIT 1 FOR UPDATE SKIP LOCKED",
        &p, SPI_OK_SELECT);
    ClaimedDefinition claimed{};
    if (SPI_processed == 1) {
        claimed.number = static_cast<int32>(field_int8("number", 0));
        claimed.definition = Definition{.index = static_cast<Oid>(field_int8("index", 0)),
                                        .kind = field("kind", caller),
                                        .name = field("name", caller),
                                        .sql = field("definition", caller),
                                        .stage = stage,
                                        .table = static_cast<int32>(field_int8("table_number", 0))};
    }
    close(session);
    return claimed;
}

bool has_definition_to_claim(int64 job, Stage stage, int32 table) {
    Session session = open();
    Params p;
    p.add_int8(job);
    p.add_int4(static_cast<int32>(stage));
    p.add_int4(table);
    read("SELECT EXISTS (SELECT" TO_CLAIM ") AS found", &p);
    bool found = field_bool("found");
    close(session);
    return found;
}

OpenStage next_stage(int64 job, Stage last) {
    Session session = open();
    Params p;
    p.add_int8(job);
    p.add_int4(static_cast<int32>(last));
    read(
        "SELECT stage::int8, count(*) AS undone FROM fastcopy.definition"
        " WHERE job = $1 AND stage <= $2 AND NOT done GROUP BY stage ORDER BY stage LIMIT 1",
        &p);
    OpenStage open_stage{};
    if (SPI_processed == 1)
        open_stage = OpenStage{.stage = static_cast<Stage>(field_int8("stage", 0)),
                               .count = static_cast<int>(field_int8("undone", 0))};
    close(session);
    return open_stage;
}

bool has_stage(int64 job, Stage stage) {
    Session session = open();
    Params p;
    p.add_int8(job);
    p.add_int4(static_cast<int32>(stage));
    read("SELECT EXISTS (SELECT FROM fastcopy.definition WHERE job = $1 AND stage = $2) AS found",
         &p);
    bool found = field_bool("found");
    close(session);
    return found;
}

List *read_indexes_aside(int64 job) {
    MemoryContext caller = CurrentMemoryContext;
    Session session = open();
    Params p;
    p.add_int8(job);
    read("SELECT index::int8 FROM fastcopy.definition WHERE job = $1 AND NOT done AND index <> 0",
         &p);
    MemoryContext old = MemoryContextSwitchTo(caller);
    List *indexes = NIL;
    for (uint64 i = 0; i < SPI_processed; i++)
        indexes = lappend_oid(indexes, static_cast<Oid>(field_int8("index", 0, i)));
    MemoryContextSwitchTo(old);
    close(session);
    return indexes;
}

Sequences read_unset_sequences(int64 job) {
    MemoryContext caller = CurrentMemoryContext;
    Session session = open();
    Params p;
    p.add_int8(job);
    read(
        "SELECT number::int8, name FROM fastcopy.definition"
        " WHERE job = $1 AND kind = 'SEQUENCE SET' AND NOT done ORDER BY number",
        &p);
    Sequences sequences{};
    sequences.count = static_cast<int>(SPI_processed);
    sequences.numbers =
        static_cast<int32 *>(MemoryContextAlloc(caller, sizeof(int32) * (SPI_processed + 1)));
    sequences.names = static_cast<const char **>(
        MemoryContextAlloc(caller, sizeof(char *) * (SPI_processed + 1)));
    for (uint64 i = 0; i < SPI_processed; i++) {
        sequences.numbers[i] = static_cast<int32>(field_int8("number", 0, i));
        sequences.names[i] = field("name", caller, i);
    }
    close(session);
    return sequences;
}

void replace_definition(int64 job, int32 number, const char *sql) {
    Session session = open();
    Params p;
    p.add_int8(job);
    p.add_int4(number);
    p.add_text(sql);
    run("UPDATE fastcopy.definition SET definition = $3 WHERE job = $1 AND number = $2", &p,
        SPI_OK_UPDATE);
    close(session);
}

int count_done_definitions(int64 job) {
    Session session = open();
    Params p;
    p.add_int8(job);
    read("SELECT count(*) AS done FROM fastcopy.definition WHERE job = $1 AND done", &p);
    auto done = static_cast<int>(field_int8("done", 0));
    close(session);
    return done;
}

void mark_definition_done(int64 job, int32 number, TimestampTz started_at) {
    Session session = open();
    Params p;
    p.add_int8(job);
    p.add_int4(number);
    p.add_time(started_at);
    p.add_time(GetCurrentTimestamp());
    run("UPDATE fastcopy.definition SET done = true, started_at = $3, finished_at = $4"
        " WHERE job = $1 AND number = $2",
        &p, SPI_OK_UPDATE);
    close(session);
}

void begin_indexing(int64 job) {
    Session session = open();
    Params p;
    p.add_int8(job);
    run("UPDATE fastcopy.job SET state = 'indexing' WHERE job = $1", &p, SPI_OK_UPDATE);
    close(session);
}

}  // namespace fastcopy::job::ledger
