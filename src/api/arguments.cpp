#include "api/arguments.hpp"

#include "api/source_argument.hpp"
#include "settings.hpp"

namespace fastcopy::api {

namespace {

// The maximum number of workers of a job, which is that of max_parallel_workers.
constexpr int max_workers = 1024;

void read_columns(FunctionCallInfo fcinfo, int n, job::Table *table) {
    table->ncolumns = -1;
    table->columns = texts_argument(fcinfo, n, "columns", &table->ncolumns);
    if (table->ncolumns == 0)
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("argument \"columns\" must not be empty"),
                        errhint("Leave the argument out to copy all columns.")));
}

// Resolves the target by the caller's search_path. An ERROR if other processes cannot see the table
// yet.
void resolve_target(const char *name, job::Table *table) {
    List *names = textToQualifiedNameList(cstring_to_text(name));
    table->target = RangeVarGetRelid(makeRangeVarFromNameList(names), NoLock, false);

    HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(table->target));
    if (!HeapTupleIsValid(tuple))
        ereport(ERROR,
                (errcode(ERRCODE_UNDEFINED_TABLE), errmsg("relation \"%s\" does not exist", name)));
    bool fresh = TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetXmin(tuple->t_data));
    auto *relation = reinterpret_cast<Form_pg_class>(GETSTRUCT(tuple));
    table->target_table = quote_qualified_identifier(get_namespace_name(relation->relnamespace),
                                                     NameStr(relation->relname));
    ReleaseSysCache(tuple);
    if (fresh)
        ereport(
            ERROR,
            (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
             errmsg("target table \"%s\" was created or altered by the calling transaction", name),
             errdetail("Background workers cannot see it before this transaction commits."),
             errhint("Commit the transaction first.")));
}

}  // namespace

void raise_null(const char *argument) {
    ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
                    errmsg("argument \"%s\" must not be null", argument)));
}

const char *text_argument(FunctionCallInfo fcinfo, int n, const char *required_name) {
    if (PG_ARGISNULL(n)) {
        if (required_name != nullptr)
            raise_null(required_name);
        return nullptr;
    }
    return text_to_cstring(PG_GETARG_TEXT_PP(n));
}

bool bool_argument(FunctionCallInfo fcinfo, int n, const char *name) {
    if (PG_ARGISNULL(n))
        raise_null(name);
    return PG_GETARG_BOOL(n);
}

const char *encoding_argument(FunctionCallInfo fcinfo, int n, const char *name) {
    const char *value = text_argument(fcinfo, n, nullptr);
    if (value == nullptr)
        return nullptr;
    int encoding = pg_char_to_encoding(value);
    // In client-only encodings, a byte of a character may equal a backslash, which the source would
    // have doubled.
    if (!PG_VALID_BE_ENCODING(encoding) || encoding == PG_SQL_ASCII)
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("invalid value for argument \"%s\": \"%s\"", name, value),
                        errhint("Name an encoding that a database can have, such as LATIN1.")));
    int here = GetDatabaseEncoding();
    if (here == PG_SQL_ASCII)
        ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                        errmsg("argument \"%s\" cannot be used in a database whose encoding is "
                               "SQL_ASCII",
                               name),
                        errdetail("Nothing is converted into that encoding."),
                        errhint("Leave the argument out to copy the bytes as they are.")));
    if (encoding != here && !OidIsValid(FindDefaultConversionProc(encoding, here)))
        ereport(ERROR, (errcode(ERRCODE_UNDEFINED_FUNCTION),
                        errmsg("default conversion function for encoding \"%s\" to \"%s\" does "
                               "not exist",
                               pg_encoding_to_char(encoding), pg_encoding_to_char(here))));
    return pg_encoding_to_char(encoding);
}

void check_workers(int workers) {
    if (workers < 1 || workers > max_workers)
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("number of workers must be between 1 and %d", max_workers)));
}

const char **texts_argument(FunctionCallInfo fcinfo, int n, const char *name, int *count) {
    if (PG_ARGISNULL(n))
        return nullptr;
    Datum *elements;
    bool *nulls;
    deconstruct_array(PG_GETARG_ARRAYTYPE_P(n), TEXTOID, -1, false, TYPALIGN_INT, &elements, &nulls,
                      count);
    auto **texts = static_cast<const char **>(palloc(sizeof(char *) * Max(*count, 1)));
    for (int i = 0; i < *count; i++) {
        if (nulls[i])
            ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
                            errmsg("argument \"%s\" must not contain nulls", name)));
        texts[i] = TextDatumGetCString(elements[i]);
    }
    return texts;
}

bool indexes_argument(FunctionCallInfo fcinfo, int n) {
    const char *value = text_argument(fcinfo, n, "indexes");
    bool rebuild = strcmp(value, "rebuild") == 0;
    if (!rebuild && strcmp(value, "keep") != 0)
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("invalid value for argument \"indexes\": \"%s\"", value),
                        errhint("Valid values are \"keep\" and \"rebuild\".")));
    return rebuild;
}

void set_source(job::Request *request, const char *given) {
    SourceArgument source = resolve_source(given);
    request->source = source.conninfo;
    request->safe_source = source.safe_name;
    request->password_required = source.trust == source::Trust::own_password_only;
}

void read_workers_argument(FunctionCallInfo fcinfo, int n, job::Request *request) {
    if (PG_ARGISNULL(n))
        raise_null("workers");
    request->workers = PG_GETARG_INT32(n);
    check_workers(request->workers);
}

job::Request read_table_arguments(FunctionCallInfo fcinfo, int workers_at, int key_at) {
    job::Request request{};
    request.ntables = 1;
    request.tables = static_cast<job::Table *>(palloc0(sizeof(job::Table)));
    job::Table *table = request.tables;
    set_source(&request, text_argument(fcinfo, 0, "source"));
    table->source_table = text_argument(fcinfo, 1, "source_table");
    const char *target_table = text_argument(fcinfo, 2, "target_table");
    read_workers_argument(fcinfo, workers_at, &request);
    table->key = text_argument(fcinfo, key_at, nullptr);
    table->filter = text_argument(fcinfo, 5, nullptr);
    read_columns(fcinfo, 6, table);

    resolve_target(target_table, table);
    return request;
}

void read_job_settings(job::Request *request) {
    request->lz4_toast = settings::lz4_toast;
    request->retry_limit = settings::retry_limit;
    request->retry_delay_ms = settings::retry_delay_ms;
    request->maintenance_work_mem_kb = maintenance_work_mem;
    request->max_parallel_maintenance_workers = max_parallel_maintenance_workers;
}

}  // namespace fastcopy::api
