#include "sink/plain_insert.hpp"

#include "pg/bulk_insert.hpp"
#include "pg/insert.hpp"
#include "sink/leaves.hpp"
#include "sink/row_reader.hpp"

namespace fastcopy::sink {

namespace {

// COPY's own limits, of rows and of bytes.
constexpr int max_batch_rows = 1000;
constexpr uint64 max_batch_bytes = 65535;

struct Insert {
    Relation target;
    EState *estate;
    ResultRelInfo *relation;
    RowReader *reader;
    Leaves *leaves;
    BulkInsertStateData bulk;
    const Leaf *bulk_leaf;  // whose page the state may have pinned
    CommandId command;
    TupleTableSlot *slots[max_batch_rows];
    int batched;
    Leaf *batch_leaves[max_batch_rows];
    int nbatch_leaves;
    uint64 batch_bytes;
    uint64 inserted;
    uint64 line;  // of the row that is being checked or indexed, for error messages
};

// Like COPY, report the row number as the line.
void add_row_context(void *argument) {
    auto *insert = static_cast<Insert *>(argument);
    int field = insert->reader->field;
    const char *table = RelationGetRelationName(insert->target);
    if (field >= 0)
        errcontext("COPY %s, line " UINT64_FORMAT ", column %s", table, insert->line,
                   NameStr(TupleDescAttr(RelationGetDescr(insert->target),
                                         insert->reader->fields[field].attribute)
                               ->attname));
    else
        errcontext("COPY %s, line " UINT64_FORMAT, table, insert->line);
}

// A slot for the batch's next row, of a copy of the relation's row type: each of a thousand slots
// would pin the original, and the resource owner's search for a pin is linear.
TupleTableSlot *next_slot(Insert *insert, TupleDesc tupdesc) {
    TupleTableSlot **slot = &insert->slots[insert->batched];
    if (*slot == nullptr) {
        MemoryContext old = MemoryContextSwitchTo(insert->estate->es_query_cxt);
        *slot = MakeSingleTupleTableSlot(tupdesc, insert->leaves->slot_kind);
        MemoryContextSwitchTo(old);
    }
    return *slot;
}

// The memory of a row whose generated columns are computed, if it is known.
uint64 size_of(const TupleTableSlot *slot) {
    if (!TTS_IS_BUFFERTUPLE(slot))
        return 0;
    HeapTuple tuple = reinterpret_cast<const HeapTupleTableSlot *>(slot)->tuple;
    return tuple != nullptr ? tuple->t_len : 0;
}

// Checks a row, of that many bytes in the stream, and adds it to the batch of its leaf.
void add_to_batch(Insert *insert, TupleTableSlot *slot, uint64 bytes) {
    Leaf *leaf = find_leaf(insert->leaves, slot);
    slot = as_in_leaf(*leaf, slot);
    if (leaf->has_constraints || leaf->has_bounds) {
        slot->tts_tableOid = RelationGetRelid(leaf->relation->ri_RelationDesc);
        if (leaf->has_generated) {
            ExecComputeStoredGenerated(leaf->relation, insert->estate, slot, CMD_INSERT);
            bytes = Max(bytes, size_of(slot));
        }
        if (leaf->has_constraints)
            ExecConstraints(leaf->relation, slot, insert->estate);
        if (leaf->has_bounds)
            (void)ExecPartitionCheck(leaf->relation, slot, insert->estate, true);
    }
    if (leaf->collected == 0)
        insert->batch_leaves[insert->nbatch_leaves++] = leaf;
    collect(leaf, slot, insert->line);
    insert->batched++;
    insert->batch_bytes += bytes;
}

void insert_collected(Insert *insert, Leaf *leaf) {
    if (insert->bulk_leaf != leaf) {
        pg::leave_relation(&insert->bulk);
        insert->bulk_leaf = leaf;
    }
    table_multi_insert(leaf->relation->ri_RelationDesc, leaf->slots, leaf->collected,
                       insert->command, 0, &insert->bulk);
    if (leaf->relation->ri_NumIndices > 0) {
        for (int i = 0; i < leaf->collected; i++) {
            insert->line = leaf->lines[i];
            pg::insert_index_entries(leaf->relation, leaf->slots[i], insert->estate);
        }
    }
    leaf->collected = 0;
}

// Inserts the collected rows and resets the per-tuple memory context.
void flush(Insert *insert) {
    uint64 last_line = insert->line;
    for (int i = 0; i < insert->nbatch_leaves; i++)
        insert_collected(insert, insert->batch_leaves[i]);
    for (int i = 0; i < insert->batched; i++)
        ExecClearTuple(insert->slots[i]);
    insert->line = last_line;
    insert->inserted += insert->batched;
    insert->batched = 0;
    insert->nbatch_leaves = 0;
    insert->batch_bytes = 0;
    ResetPerTupleExprContext(insert->estate);
    pgstat_progress_update_param(PROGRESS_COPY_BYTES_PROCESSED,
                                 static_cast<int64>(insert->reader->window.taken));
    pgstat_progress_update_param(PROGRESS_COPY_TUPLES_PROCESSED,
                                 static_cast<int64>(insert->inserted));
}

void insert_rows(Insert *insert, TupleDesc tupdesc) {
    read_header(insert->reader);
    for (;;) {
        TupleTableSlot *slot = next_slot(insert, tupdesc);
        uint64 begin = insert->reader->window.taken;
        insert->line++;
        if (!read_row(insert->reader, slot->tts_values, slot->tts_isnull))
            break;
        ExecStoreVirtualTuple(slot);
        add_to_batch(insert, slot, insert->reader->window.taken - begin);
        if (insert->batched == max_batch_rows || insert->batch_bytes >= max_batch_bytes)
            flush(insert);
    }
    if (insert->batched > 0)
        flush(insert);
}

void show_progress(Relation target) {
    const int names[] = {PROGRESS_COPY_COMMAND, PROGRESS_COPY_TYPE};
    const int64 values[] = {PROGRESS_COPY_COMMAND_FROM, PROGRESS_COPY_TYPE_CALLBACK};
    pgstat_progress_start_command(PROGRESS_COMMAND_COPY, RelationGetRelid(target));
    pgstat_progress_update_multi_param(lengthof(names), names, values);
}

}  // namespace

bool can_insert_plainly(Relation target, int ncolumns, const char *const *columns) {
    if (!has_plain_leaves(target))
        return false;
    TupleDesc tupdesc = RelationGetDescr(target);
    Bitmapset *given = nullptr;
    for (int i = 0; i < ncolumns; i++) {
        AttrNumber attnum = get_attnum(RelationGetRelid(target), columns[i]);
        if (attnum <= 0)
            return false;
        given = bms_add_member(given, attnum);
    }
    for (int i = 1; i <= tupdesc->natts; i++) {
        Form_pg_attribute attribute = TupleDescAttr(tupdesc, i - 1);
        if (!attribute->attisdropped && attribute->attgenerated == '\0' &&
            !bms_is_member(i, given) && build_column_default(target, i) != nullptr)
            return false;
    }
    return bms_num_members(given) == ncolumns;
}

uint64 insert_plainly(Relation target, ParseState *pstate, int ncolumns, const char *const *columns,
                      const ByteSource &source) {
    EState *estate = CreateExecutorState();
    MemoryContext old = MemoryContextSwitchTo(estate->es_query_cxt);
    auto *insert = static_cast<Insert *>(palloc0(sizeof(Insert)));
    insert->target = target;
    insert->estate = estate;
    insert->command = GetCurrentCommandId(true);

    pg::init_range_table(estate, pstate);
    insert->relation = makeNode(ResultRelInfo);
    ExecInitResultRelation(estate, insert->relation, 1);
    pg::check_insert_relation(insert->relation);
    ExecOpenIndices(insert->relation, false);
    insert->leaves = open_leaves(estate, insert->relation);

    auto *attributes = static_cast<AttrNumber *>(palloc(sizeof(AttrNumber) * Max(ncolumns, 1)));
    for (int i = 0; i < ncolumns; i++)
        attributes[i] = get_attnum(RelationGetRelid(target), columns[i]);
    insert->reader = make_row_reader(RelationGetDescr(target), ncolumns, attributes, source);
    pg::begin_bulk_insert(&insert->bulk);
    TupleDesc tupdesc = CreateTupleDescCopyConstr(RelationGetDescr(target));

    ErrorContextCallback callback{error_context_stack, add_row_context, insert};
    error_context_stack = &callback;
    show_progress(target);
    MemoryContextSwitchTo(GetPerTupleMemoryContext(estate));
    insert_rows(insert, tupdesc);
    uint64 rows = insert->inserted;
    error_context_stack = callback.previous;

    pg::leave_relation(&insert->bulk);
    table_finish_bulk_insert(target, 0);
    pgstat_progress_end_command();
    MemoryContextSwitchTo(old);
    close_leaves(insert->leaves);
    ExecCloseResultRelations(estate);
    ExecCloseRangeTableRelations(estate);
    FreeExecutorState(estate);
    return rows;
}

}  // namespace fastcopy::sink
