#include "job/ledger_session.hpp"

namespace fastcopy::job::ledger {

namespace {

// The ledger's owner is the extension's owner: CREATE EXTENSION made both.
Oid ledger_owner() {
    Oid schema = get_namespace_oid("fastcopy", true);
    Oid relid = OidIsValid(schema) ? get_relname_relid("job", schema) : InvalidOid;
    HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
    if (!HeapTupleIsValid(tuple))
        ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
                        errmsg("extension \"pg_fastcopy\" is not installed in this database"),
                        errhint("Run CREATE EXTENSION pg_fastcopy.")));
    Oid owner = reinterpret_cast<Form_pg_class>(GETSTRUCT(tuple))->relowner;
    ReleaseSysCache(tuple);
    return owner;
}

int column_number(const char *column) {
    int number = SPI_fnumber(SPI_tuptable->tupdesc, column);
    if (number <= 0)
        elog(ERROR, "the ledger's answer has no column \"%s\"", column);
    return number;
}

}  // namespace

Session open() {
    if (SPI_connect() != SPI_OK_CONNECT)
        elog(ERROR, "SPI_connect failed");
    Session session;
    Oid owner = ledger_owner();
    GetUserIdAndSecContext(&session.role, &session.sec_context);
    SetUserIdAndSecContext(owner, session.sec_context | SECURITY_LOCAL_USERID_CHANGE);
    session.guc_nest_level = NewGUCNestLevel();
    (void)set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET, PGC_S_SESSION,
                            GUC_ACTION_SAVE, true, 0, false);
    return session;
}

void close(const Session &session) {
    AtEOXact_GUC(false, session.guc_nest_level);
    SetUserIdAndSecContext(session.role, session.sec_context);
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

char *insert_statement(const char *table, const Row &row) {
    StringInfoData columns, values;
    initStringInfo(&columns);
    initStringInfo(&values);
    for (int i = 0; i < row.count; i++) {
        appendStringInfo(&columns, "%s%s", i > 0 ? ", " : "", row.columns[i]);
        appendStringInfo(&values, "%s$%d", i > 0 ? ", " : "", i + 1);
    }
    return psprintf("INSERT INTO %s (%s) VALUES (%s)", table, columns.data, values.data);
}

void insert(const char *table, Row *row) {
    run(insert_statement(table, *row), row, SPI_OK_INSERT);
}

void Inserter::insert(Row *row) {
    if (plan == nullptr)
        plan = SPI_prepare(insert_statement(table, *row), row->count, row->types);
    if (plan == nullptr)
        elog(ERROR, "SPI_prepare failed: %s", SPI_result_code_string(SPI_result));
    int result = SPI_execute_plan(plan, row->values, row->nulls, false, 0);
    if (result != SPI_OK_INSERT)
        elog(ERROR, "could not insert into %s: %s", table, SPI_result_code_string(result));
}

const char *field(const char *column, MemoryContext context, uint64 row) {
    char *text =
        SPI_getvalue(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column_number(column));
    return text != nullptr ? MemoryContextStrdup(context, text) : nullptr;
}

Datum field_datum(const char *column, bool *is_null, uint64 row) {
    return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column_number(column),
                         is_null);
}

int64 field_int8(const char *column, int64 when_null, uint64 row) {
    bool is_null;
    Datum value = field_datum(column, &is_null, row);
    return is_null ? when_null : DatumGetInt64(value);
}

bool field_bool(const char *column, uint64 row) {
    bool is_null;
    Datum value = field_datum(column, &is_null, row);
    return !is_null && DatumGetBool(value);
}

const char **field_texts(const char *column, int *count, uint64 row) {
    bool is_null;
    Datum array = field_datum(column, &is_null, row);
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
