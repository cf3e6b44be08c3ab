// The ledger of the tables of jobs.
#include "job/ledger.hpp"
#include "job/ledger_chunks.hpp"
#include "job/ledger_session.hpp"

namespace fastcopy::job::ledger {

namespace {

// Adds a row to an unlogged table, which a crash empties along with the target. Within a session.
void note_unlogged(int64 job, const TargetFiles &files) {
    if (!files.unlogged)
        return;
    Params p;
    p.add_int8(job);
    run("INSERT INTO fastcopy.unlogged_job (job) VALUES ($1) ON CONFLICT DO NOTHING", &p,
        SPI_OK_INSERT);
}

// The values of an array that fields of the row have as many of as columns, palloc'd.
template <typename Value>
Value *field_array(const char *name, int count, uint64 row) {
    bool is_null;
    ArrayType *array = DatumGetArrayTypePCopy(field_datum(name, &is_null, row));
    if (ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array)) != count)
        elog(ERROR, "ledger has %s of other columns", name);
    return reinterpret_cast<Value *>(ARR_DATA_PTR(array));
}

}  // namespace

void add_table(int64 job, const PlannedTable &table) {
    Session session = open();
    const plan::RowShape &shape = *table.shape;
    Row row;
    row.column("job").add_int8(job);
    row.column("number").add_int4(table.number);
    row.column("source_table").add_text(table.request->source_table);
    row.column("target_table").add_text(table.request->target_table);
    row.column("target").add_oid(table.request->target);
    row.column("columns").add(TEXTARRAYOID, text_array(shape.columns, shape.ncolumns));
    row.column("column_types").add(OIDARRAYOID, oid_array(shape.types, shape.ncolumns));
    row.column("as_written").add(BOOLARRAYOID, bool_array(shape.as_written, shape.ncolumns));
    row.column("key").add_text(table.request->key);
    row.column("filter").add_text(shape.filter);
    row.column("format").add_text(shape.binary ? "binary" : "text");
    row.column("text_because").add_text(shape.text_because);
    row.column("chunks").add_int4(table.nchunks);
    row.column("source_relations").add_text(table.markers.relations);
    row.column("source_columns").add_text(table.markers.columns);
    row.column("target_files").add(TEXTARRAYOID, text_array(table.files.files, table.files.count));
    row.column("target_unlogged").add_bool(table.files.unlogged);
    row.column("reader").add_text(table.ways.reader);
    row.column("reader_reason").add_text(table.ways.reader_reason);
    row.column("writer").add_text(table.ways.writer);
    row.column("writer_reason").add_text(table.ways.writer_reason);
    row.column("warning").add_text(table.ways.warning);
    insert("fastcopy.job_table", &row);
    note_unlogged(job, table.files);
    add_chunks(job, table.chunks, table.nchunks);
    close(session);
}

void begin_table_again(int64 job, int32 table, const TableMarkers &markers,
                       const TargetFiles &files) {
    Session session = open();
    Params p;
    p.add_int8(job);
    p.add_int4(table);
    p.add_text(markers.relations);
    p.add_text(markers.columns);
    p.add(TEXTARRAYOID, text_array(files.files, files.count));
    p.add_bool(files.unlogged);
    run("UPDATE fastcopy.job_table SET source_relations = $3, source_columns = $4,"
        " target_files = $5, target_unlogged = $6 WHERE job = $1 AND number = $2",
        &p, SPI_OK_UPDATE);
    if (SPI_processed != 1)
        raise_gone(job);
    note_unlogged(job, files);
    close(session);
}

void add_target_files(int64 job, int32 table, const TargetFiles &files) {
    Session session = open();
    Params p;
    p.add_int8(job);
    p.add_int4(table);
    p.add(TEXTARRAYOID, text_array(files.files, files.count));
    p.add_bool(files.unlogged);
    run("UPDATE fastcopy.job_table SET target_files = ARRAY(SELECT unnest(target_files) UNION"
        " SELECT unnest($3)), target_unlogged = target_unlogged OR $4"
        " WHERE job = $1 AND number = $2",
        &p, SPI_OK_UPDATE);
    note_unlogged(job, files);
    close(session);
}

TableRow to_table_row(uint64 result_row, MemoryContext context) {
    TableRow row{};
    row.table.source_table = field("source_table", context, result_row);
    row.table.target_table = field("target_table", context, result_row);
    row.table.target = static_cast<Oid>(field_int8("target", 0, result_row));
    row.chunks = static_cast<int>(field_int8("chunks", 0, result_row));
    plan::RowShape *shape = &row.shape;
    shape->filter = field("filter", context, result_row);
    shape->binary = strcmp(field("format", context, result_row), "binary") == 0;
    shape->text_because = field("text_because", context, result_row);
    MemoryContext old = MemoryContextSwitchTo(context);
    shape->columns = field_texts("columns", &shape->ncolumns, result_row);
    shape->types = field_array<Oid>("column_types", shape->ncolumns, result_row);
    shape->as_written = field_array<bool>("as_written", shape->ncolumns, result_row);
    row.files.files = field_texts("target_files", &row.files.count, result_row);
    MemoryContextSwitchTo(old);
    return row;
}

TableRow read_table(int64 job, int32 number) {
    MemoryContext caller = CurrentMemoryContext;
    Session session = open();
    Params p;
    p.add_int8(job);
    p.add_int4(number);
    read("SELECT " TABLE_COLUMNS " FROM fastcopy.job_table WHERE job = $1 AND number = $2", &p);
    if (SPI_processed != 1)
        raise_gone(job);
    TableRow row = to_table_row(0, caller);
    close(session);
    return row;
}

Targets read_targets(int64 job) {
    MemoryContext caller = CurrentMemoryContext;
    Session session = open();
    Params p;
    p.add_int8(job);
    read(
        "SELECT target::int8, target_table, coalesce(writer = 'insert', false) AS by_insert"
        " FROM fastcopy.job_table WHERE job = $1 ORDER BY number",
        &p);
    Targets targets{};
    targets.targets =
        static_cast<Target *>(MemoryContextAlloc(caller, sizeof(Target) * Max(SPI_processed, 1)));
    for (uint64 i = 0; i < SPI_processed; i++)
        targets.targets[targets.count++] =
            Target{static_cast<Oid>(field_int8("target", 0, i)), field("target_table", caller, i),
                   field_bool("by_insert", i)};
    close(session);
    return targets;
}

}  // namespace fastcopy::job::ledger
