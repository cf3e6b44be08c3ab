#include "sink/sequences.hpp"

#include "core/sequence_step.hpp"
#include "sink/local_sql.hpp"

namespace fastcopy::sink {

namespace {

bool holds_whole_numbers(Oid type) {
    Oid base = getBaseType(type);
    return base == INT2OID || base == INT4OID || base == INT8OID || base == NUMERICOID;
}

// True if the column of this number is one of the named.
bool is_named(Oid relid, AttrNumber attnum, int ncolumns, const char *const *columns) {
    const char *name = get_attname(relid, attnum, true);
    for (int i = 0; i < ncolumns && name != nullptr; i++) {
        if (strcmp(columns[i], name) == 0)
            return true;
    }
    return false;
}

const char *last_function(const ColumnSequence &sequence) {
    return sequence.increment > 0 ? "max" : "min";
}

// The first row of a query's result: integers, or NULL.
struct Answer {
    bool is_null;
    int64 number;
    bool is_called;
};

Answer ask(const char *sql) {
    if (SPI_connect() != SPI_OK_CONNECT)
        elog(ERROR, "SPI_connect failed");
    int result = SPI_execute(sql, true, 1);
    if (result != SPI_OK_SELECT || SPI_processed != 1)
        elog(ERROR, "%s: %s", sql, SPI_result_code_string(result));
    TupleDesc tupdesc = SPI_tuptable->tupdesc;
    HeapTuple row = SPI_tuptable->vals[0];
    Answer answer{};
    answer.number = DatumGetInt64(SPI_getbinval(row, tupdesc, 1, &answer.is_null));
    if (tupdesc->natts > 1) {
        bool is_null;
        answer.is_called = DatumGetBool(SPI_getbinval(row, tupdesc, 2, &is_null));
    }
    SPI_finish();
    return answer;
}

// The last of the column's values that the sequence can generate.
Answer last_in_column(Oid target, const ColumnSequence &sequence) {
    return ask(
        psprintf("SELECT pg_catalog.%s(%s)::pg_catalog.int8 FROM %s"
                 " WHERE %s OPERATOR(pg_catalog.>=) '" INT64_FORMAT "'::pg_catalog.int8"
                 " AND %s OPERATOR(pg_catalog.<=) '" INT64_FORMAT "'::pg_catalog.int8",
                 last_function(sequence), sequence.column, quoted_relation(target), sequence.column,
                 sequence.least, sequence.column, sequence.greatest));
}

bool may(Oid relid, AclMode mode) {
    return pg_class_aclcheck(relid, GetUserId(), mode) == ACLCHECK_OK;
}

bool may_read_column(Oid target, AttrNumber column) {
    return may(target, ACL_SELECT) ||
           pg_attribute_aclcheck(target, column, GetUserId(), ACL_SELECT) == ACLCHECK_OK;
}

// The statement for messages that does what advance() does; it does not check whether the sequence
// is behind.
char *setval_statement(Oid target, const ColumnSequence &sequence) {
    return psprintf("SELECT pg_catalog.setval(%s, pg_catalog.%s(%s)) FROM %s",
                    quote_literal_cstr(sequence.name), last_function(sequence), sequence.column,
                    quoted_relation(target));
}

}  // namespace

ColumnSequences find_sequences(Oid target, int ncolumns, const char *const *columns) {
    ColumnSequences found{};
    List *oids = getOwnedSequences(target);
    found.sequences =
        static_cast<ColumnSequence *>(palloc(sizeof(ColumnSequence) * Max(list_length(oids), 1)));
    ListCell *cell;
    foreach (cell, oids) {
        Oid oid = lfirst_oid(cell);
        Oid table;
        int32 attnum;
        bool owned = sequenceIsOwned(oid, DEPENDENCY_AUTO, &table, &attnum) ||
                     sequenceIsOwned(oid, DEPENDENCY_INTERNAL, &table, &attnum);
        auto column = static_cast<AttrNumber>(attnum);
        if (!owned || !is_named(target, column, ncolumns, columns) ||
            !holds_whole_numbers(get_atttype(target, column)))
            continue;
        HeapTuple tuple = SearchSysCache1(SEQRELID, ObjectIdGetDatum(oid));
        if (!HeapTupleIsValid(tuple))
            continue;  // dropped meanwhile
        auto *form = reinterpret_cast<Form_pg_sequence>(GETSTRUCT(tuple));
        ColumnSequence *sequence = &found.sequences[found.count++];
        *sequence = ColumnSequence{
            .oid = oid,
            .name = quoted_relation(oid),
            .attnum = column,
            .column = quote_identifier(get_attname(target, column, false)),
            .increment = form->seqincrement,
            .least = form->seqmin,
            .greatest = form->seqmax,
            .statement = nullptr,
        };
        sequence->statement = setval_statement(target, *sequence);
        ReleaseSysCache(tuple);
    }
    return found;
}

const char *advance(Oid target, const ColumnSequence &sequence) {
    if (!may_read_column(target, sequence.attnum))
        return psprintf("it may not read column %s", sequence.column);
    Answer last = last_in_column(target, sequence);
    if (last.is_null)
        return nullptr;
    if (!may(sequence.oid, ACL_UPDATE))
        return "it may not set the sequence";
    if (!may(sequence.oid, ACL_SELECT))
        return "it may not read the sequence";

    LockRelationOid(sequence.oid, ShareRowExclusiveLock);
    Answer now = ask(psprintf("SELECT last_value, is_called FROM %s", sequence.name));
    core::SequenceState state{now.number, now.is_called, sequence.increment, sequence.least,
                              sequence.greatest};
    std::int64_t next;
    if (core::step_past(state, last.number, &next))
        (void)DirectFunctionCall3(setval3_oid, ObjectIdGetDatum(sequence.oid), Int64GetDatum(next),
                                  BoolGetDatum(true));
    return nullptr;
}

}  // namespace fastcopy::sink
