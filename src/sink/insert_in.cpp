#include "sink/insert_in.hpp"

#include "pg/copy_batch.hpp"
#include "sink/copy_in.hpp"
#include "sink/row_reader.hpp"
#include "sink/target.hpp"

namespace fastcopy::sink {

namespace {

// A batch ends when its rows have taken so much of the stream, or of memory, where small rows take
// several times as much. What exceeds twice that, as one large row can, goes to a temporary file.
constexpr uint64 max_batch_bytes = UINT64CONST(4) << 20;
constexpr int spill_kb = 2 * (max_batch_bytes >> 10);
// Of a block of the batch's memory, by which it may take more.
constexpr Size batch_block = Size{256} * 1024;

// The stream counts what has been taken from it.
struct CountedSource {
    const ByteSource *source;
    uint64 bytes;
};

int read_counted(void *self, char *buffer, int size) {
    auto *counted = static_cast<CountedSource *>(self);
    int got = counted->source->read(counted->source->self, buffer, size);
    counted->bytes += static_cast<uint64>(got);
    return got;
}

int largest_counted(void *self) {
    auto *counted = static_cast<CountedSource *>(self);
    return counted->source->largest_row(counted->source->self);
}

// A store of rows, in a context of its own.
struct Batch {
    MemoryContext context;
    Tuplestorestate *rows;
};

Batch begin_batch(MemoryContext parent, bool any_direction) {
    Batch batch;
    batch.context = AllocSetContextCreate(parent, "fastcopy batch", ALLOCSET_DEFAULT_MINSIZE,
                                          ALLOCSET_DEFAULT_INITSIZE, batch_block);
    MemoryContext old = MemoryContextSwitchTo(batch.context);
    batch.rows = tuplestore_begin_heap(any_direction, false, spill_kb);
    MemoryContextSwitchTo(old);
    return batch;
}

void end_batch(Batch *batch) {
    tuplestore_end(batch->rows);
    MemoryContextDelete(batch->context);
    *batch = Batch{};
}

struct Insert {
    Relation target;
    CountedSource counted;
    ByteSource source;  // by way of `counted`
    int ncolumns;
    TupleDesc tupdesc;       // of the rows of the stream
    RowReader *reader;       // binary
    CopyFromState parser;    // text
    AttrNumber *attributes;  // of the target, which the parser fills
    Datum *values;
    bool *nulls;
    Datum *parsed_values;
    bool *parsed_nulls;
    MemoryContext per_row;
    bool rewritten;
    int calls;     // of the function, by the statement that runs
    Batch repeat;  // if its rows may be read again
    bool at_end;
    uint64 line;
};

// A process has one INSERT at a time.
Insert *current = nullptr;

// As in COPY, the line is the row's number.
void add_row_context(void *argument) {
    auto *insert = static_cast<Insert *>(argument);
    const char *table = RelationGetRelationName(insert->target);
    int field = insert->reader->field;
    if (field >= 0)
        errcontext("COPY %s, line " UINT64_FORMAT ", column %s", table, insert->line,
                   NameStr(TupleDescAttr(insert->tupdesc, field)->attname));
    else
        errcontext("COPY %s, line " UINT64_FORMAT, table, insert->line);
}

bool parse_row(Insert *insert) {
    if (!NextCopyFrom(insert->parser, nullptr, insert->parsed_values, insert->parsed_nulls))
        return false;
    for (int i = 0; i < insert->ncolumns; i++) {
        insert->values[i] = insert->parsed_values[insert->attributes[i] - 1];
        insert->nulls[i] = insert->parsed_nulls[insert->attributes[i] - 1];
    }
    return true;
}

// Reads rows until there is a batch of them.
void read_batch(Insert *insert, const Batch &batch, TupleDesc tupdesc) {
    ErrorContextCallback callback{error_context_stack, nullptr, nullptr};
    callback.callback = insert->reader != nullptr ? add_row_context : CopyFromErrorCallback;
    callback.arg = insert->reader != nullptr ? static_cast<void *>(insert) : insert->parser;
    error_context_stack = &callback;
    MemoryContext old = MemoryContextSwitchTo(insert->per_row);
    uint64 begin = insert->counted.bytes;
    while (insert->counted.bytes - begin < max_batch_bytes &&
           MemoryContextMemAllocated(batch.context, true) < max_batch_bytes) {
        MemoryContextReset(insert->per_row);
        insert->line++;
        insert->at_end = insert->reader != nullptr
                             ? !read_row(insert->reader, insert->values, insert->nulls)
                             : !parse_row(insert);
        if (insert->at_end)
            break;
        tuplestore_putvalues(batch.rows, tupdesc, insert->values, insert->nulls);
    }
    MemoryContextReset(insert->per_row);
    MemoryContextSwitchTo(old);
    error_context_stack = callback.previous;
}

void copy_rows(Tuplestorestate *from, Tuplestorestate *to, TupleDesc tupdesc) {
    TupleTableSlot *slot = MakeSingleTupleTableSlot(tupdesc, &TTSOpsMinimalTuple);
    tuplestore_rescan(from);
    while (tuplestore_gettupleslot(from, true, false, slot))
        tuplestore_puttupleslot(to, slot);
    ExecDropSingleTupleTableSlot(slot);
}

// The row type of the stream: the target's columns, in its order.
TupleDesc describe_rows(Relation target, int ncolumns, const char *const *columns,
                        AttrNumber *attributes) {
    if (ncolumns == 0) {
        TupleDesc tupdesc = CreateTemplateTupleDesc(1);
        TupleDescInitEntry(tupdesc, 1, "c1", BOOLOID, -1, 0);
        return tupdesc;
    }
    TupleDesc tupdesc = CreateTemplateTupleDesc(ncolumns);
    for (int i = 0; i < ncolumns; i++) {
        attributes[i] = get_attnum(RelationGetRelid(target), columns[i]);
        Form_pg_attribute from = TupleDescAttr(RelationGetDescr(target), attributes[i] - 1);
        auto number = static_cast<AttrNumber>(i + 1);
        TupleDescInitEntry(tupdesc, number, columns[i], from->atttypid, from->atttypmod, 0);
        TupleDescInitEntryCollation(tupdesc, number, from->attcollation);
    }
    return tupdesc;
}

void open_stream(Insert *insert, ParseState *pstate, const char *const *columns,
                 const bool *as_written, bool binary, const char *encoding) {
    if (binary) {
        auto *in_order =
            static_cast<AttrNumber *>(palloc(sizeof(AttrNumber) * Max(insert->ncolumns, 1)));
        for (int i = 0; i < insert->ncolumns; i++)
            in_order[i] = static_cast<AttrNumber>(i + 1);
        insert->reader =
            make_row_reader(insert->tupdesc, insert->ncolumns, in_order, insert->source);
        read_header(insert->reader);
        return;
    }
    insert->parser = begin_parsing(insert->target, pstate, insert->ncolumns, columns, as_written,
                                   false, encoding, insert->source);
    pg::ignore_defaults(insert->parser);
    int natts = RelationGetNumberOfAttributes(insert->target);
    insert->parsed_values = static_cast<Datum *>(palloc0(sizeof(Datum) * Max(natts, 1)));
    insert->parsed_nulls = static_cast<bool *>(palloc0(sizeof(bool) * Max(natts, 1)));
}

// Triggers may drop rows on purpose. A rule that has no place for some may have lost them.
void check_rows(const Insert *insert, uint64 inserted) {
    uint64 read = insert->line - 1;
    if (inserted != read && (insert->rewritten || !may_drop_rows(insert->target)))
        ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
                        errmsg("INSERT into \"%s\" was given " UINT64_FORMAT
                               " rows, but has inserted " UINT64_FORMAT,
                               RelationGetRelationName(insert->target), read, inserted)));
}

uint64 run_statement(Insert *insert, const char *sql) {
    insert->calls = 0;
    int result = SPI_execute(sql, false, 0);
    if (result < 0)
        elog(ERROR, "%s: %s", sql, SPI_result_code_string(result));
    if (insert->calls == 0)
        ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                        errmsg("INSERT into \"%s\" takes no rows",
                               RelationGetRelationName(insert->target)),
                        errdetail("Its rules or its engine do not read what is to be inserted.")));
    return result == SPI_OK_INSERT ? SPI_processed : 0;
}

uint64 insert_batches(Insert *insert, const char *sql) {
    uint64 rows = 0;
    while (!insert->at_end) {
        if (insert->rewritten)
            insert->repeat = begin_batch(CurrentMemoryContext, false);
        if (SPI_connect() != SPI_OK_CONNECT)
            elog(ERROR, "SPI_connect failed");
        rows += run_statement(insert, sql);
        SPI_finish();
        if (insert->rewritten)
            end_batch(&insert->repeat);
        pgstat_progress_update_param(PROGRESS_COPY_BYTES_PROCESSED,
                                     static_cast<int64>(insert->counted.bytes));
        pgstat_progress_update_param(PROGRESS_COPY_TUPLES_PROCESSED, static_cast<int64>(rows));
    }
    return rows;
}

void show_progress(Relation target) {
    const int names[] = {PROGRESS_COPY_COMMAND, PROGRESS_COPY_TYPE};
    const int64 values[] = {PROGRESS_COPY_COMMAND_FROM, PROGRESS_COPY_TYPE_CALLBACK};
    pgstat_progress_start_command(PROGRESS_COMMAND_COPY, RelationGetRelid(target));
    pgstat_progress_update_multi_param(lengthof(names), names, values);
}

}  // namespace

void give_batch(ReturnSetInfo *result) {
    Insert *insert = current;
    if (insert == nullptr)
        ereport(ERROR,
                (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                 errmsg("fastcopy.incoming_rows() can only be called by a fastcopy worker")));
    if (insert->calls++ > 0 && insert->repeat.rows == nullptr)
        ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                        errmsg("INSERT into \"%s\" reads its rows more than once",
                               RelationGetRelationName(insert->target))));
    MemoryContext old = MemoryContextSwitchTo(result->econtext->ecxt_per_query_memory);
    bool any_direction = (result->allowedModes & SFRM_Materialize_Random) != 0;
    Batch batch = begin_batch(CurrentMemoryContext, any_direction);
    TupleDesc tupdesc = CreateTupleDescCopy(insert->tupdesc);
    if (!insert->rewritten) {
        read_batch(insert, batch, tupdesc);
    } else {
        if (insert->calls == 1)
            read_batch(insert, insert->repeat, insert->tupdesc);
        copy_rows(insert->repeat.rows, batch.rows, tupdesc);
    }
    result->returnMode = SFRM_Materialize;
    result->setResult = batch.rows;
    result->setDesc = tupdesc;
    MemoryContextSwitchTo(old);
}

uint64 insert_in(Relation target, ParseState *pstate, int ncolumns, const char *const *columns,
                 const bool *as_written, bool binary, const char *encoding, const Writer &writer,
                 const ByteSource &source) {
    auto *insert = static_cast<Insert *>(palloc0(sizeof(Insert)));
    insert->target = target;
    insert->counted = CountedSource{&source, 0};
    insert->source = ByteSource{&insert->counted, read_counted, largest_counted};
    insert->ncolumns = ncolumns;
    insert->attributes = static_cast<AttrNumber *>(palloc(sizeof(AttrNumber) * Max(ncolumns, 1)));
    insert->tupdesc = describe_rows(target, ncolumns, columns, insert->attributes);
    insert->values = static_cast<Datum *>(palloc0(sizeof(Datum) * Max(ncolumns, 1)));
    insert->nulls = static_cast<bool *>(palloc(sizeof(bool) * Max(ncolumns, 1)));
    memset(insert->nulls, true, sizeof(bool) * Max(ncolumns, 1));
    insert->per_row =
        AllocSetContextCreate(CurrentMemoryContext, "fastcopy row", ALLOCSET_DEFAULT_SIZES);
    insert->rewritten = writer.rewritten;
    open_stream(insert, pstate, columns, as_written, binary, encoding);
    const char *sql = insert_statement(target, ncolumns, columns);
    (void)set_config_option("synchronous_commit", "on", PGC_USERSET, PGC_S_SESSION,
                            GUC_ACTION_LOCAL, true, 0, false);

    show_progress(target);
    uint64 rows = 0;
    PG_TRY();
    {
        current = insert;
        rows = insert_batches(insert, sql);
    }
    PG_FINALLY();
    { current = nullptr; }
    PG_END_TRY();
    pgstat_progress_end_command();
    check_rows(insert, rows);
    if (insert->parser != nullptr)
        EndCopyFrom(insert->parser);
    MemoryContextDelete(insert->per_row);
    return rows;
}

}  // namespace fastcopy::sink
