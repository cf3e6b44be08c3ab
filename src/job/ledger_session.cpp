#include "job/ledger_session.hpp"

namespace fastcopy::job::ledger {

Session open() {
    if (SPI_connect() != SPI_OK_CONNECT)
        elog(ERROR, "SPI_connect failed");
    return Session{pg::become_owner()};
}

void close(const Session &session) {
    pg::become_self(session.scope);
    SPI_finish();
}

void run(const char *sql, Params *params, int expected) {
    int result = SPI_execute_with_args(sql, params->count, params->types, params->values,
                                       params->nulls, false, 0);
    if (result != expected)
        elog(ERROR, "ledger statement returned %s: %s", SPI_result_code_string(result), sql);
}

void read(const char *sql, Params *params) {
    PushActiveSnapshot(GetLatestSnapshot());
    int result = SPI_execute_with_args(sql, params->count, params->types, params->values,
                                       params->nulls, true, 0);
    PopActiveSnapshot();
    if (result != SPI_OK_SELECT)
        elog(ERROR, "ledger query returned %s: %s", SPI_result_code_string(result), sql);
}

const char *field(int column, MemoryContext context) {
    char *text = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, column);
    return text != nullptr ? MemoryContextStrdup(context, text) : nullptr;
}

Datum field_datum(int column, bool *is_null) {
    return SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, column, is_null);
}

int64 field_int8(int column, int64 when_null) {
    bool is_null;
    Datum value = field_datum(column, &is_null);
    return is_null ? when_null : DatumGetInt64(value);
}

Datum text_array(const char **texts, int count) {
    auto *values = static_cast<Datum *>(palloc(sizeof(Datum) * Max(count, 1)));
    for (int i = 0; i < count; i++)
        values[i] = CStringGetTextDatum(texts[i]);
    return PointerGetDatum(construct_array(values, count, TEXTOID, -1, false, TYPALIGN_INT));
}

Datum oid_array(const Oid *oids, int count) {
    auto *values = static_cast<Datum *>(palloc(sizeof(Datum) * Max(count, 1)));
    for (int i = 0; i < count; i++)
        values[i] = ObjectIdGetDatum(oids[i]);
    return PointerGetDatum(construct_array(values, count, OIDOID, sizeof(Oid), true, TYPALIGN_INT));
}

const char **field_texts(int column, int *count) {
    bool is_null;
    Datum array = field_datum(column, &is_null);
    Datum *elements;
    deconstruct_array(DatumGetArrayTypePCopy(array), TEXTOID, -1, false, TYPALIGN_INT, &elements,
                      nullptr, count);
    auto **texts = static_cast<const char **>(palloc(sizeof(char *) * Max(*count, 1)));
    for (int i = 0; i < *count; i++)
        texts[i] = TextDatumGetCString(elements[i]);
    return texts;
}

void raise_gone(int64 job) {
    ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
                    errmsg("job " INT64_FORMAT " is no longer in the ledger", job)));
}

}  // namespace fastcopy::job::ledger
