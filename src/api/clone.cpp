// fastcopy.clone: starts a job of many tables. run/find_tables.hpp says which.
#include "api/arguments.hpp"
#include "api/launch.hpp"
#include "api/sql_objects.hpp"
#include "settings.hpp"

namespace fastcopy::api {

namespace {

// The tables' definitions cannot be made yet: 'keep' is the only value.
void check_definitions(FunctionCallInfo fcinfo, int n) {
    const char *value = text_argument(fcinfo, n, "definitions");
    if (strcmp(value, "keep") != 0)
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("invalid value for argument \"definitions\": \"%s\"", value),
                        errhint("The only valid value is \"keep\": create the tables first, with "
                                "pg_dump --section=pre-data.")));
}

// A filter per table: an object whose values are strings.
void read_filters(FunctionCallInfo fcinfo, int n, job::Request *request) {
    if (PG_ARGISNULL(n))
        return;
    Jsonb *filters = PG_GETARG_JSONB_P(n);
    if (!JB_ROOT_IS_OBJECT(filters))
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("argument \"filters\" must be a JSON object")));
    int count = JB_ROOT_COUNT(filters);
    request->filtered = static_cast<const char **>(palloc(sizeof(char *) * Max(count, 1)));
    request->filters = static_cast<const char **>(palloc(sizeof(char *) * Max(count, 1)));
    JsonbIterator *iterator = JsonbIteratorInit(&filters->root);
    JsonbValue value;
    JsonbIteratorToken token;
    while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE) {
        if (token == WJB_KEY) {
            request->filtered[request->filter_count] =
                pnstrdup(value.val.string.val, value.val.string.len);
        } else if (token == WJB_VALUE) {
            if (value.type != jbvString)
                ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                                errmsg("the filter for table \"%s\" is not a string",
                                       request->filtered[request->filter_count])));
            request->filters[request->filter_count++] =
                pnstrdup(value.val.string.val, value.val.string.len);
        }
    }
}

job::Request read_request(FunctionCallInfo fcinfo) {
    job::Request request{};
    request.clone = true;
    set_source(&request, text_argument(fcinfo, 0, "source"));
    request.include = texts_argument(fcinfo, 1, "tables", &request.include_count);
    // NULL stands for all tables; a list that has become empty by mistake does not.
    if (!PG_ARGISNULL(1) && request.include_count == 0)
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("argument \"tables\" must not be empty"),
                        errhint("Leave the argument out to copy all tables.")));
    request.exclude = texts_argument(fcinfo, 2, "exclude", &request.exclude_count);
    read_workers_argument(fcinfo, 3, &request);
    check_definitions(fcinfo, 4);
    read_filters(fcinfo, 5, &request);
    request.truncate = bool_argument(fcinfo, 6, "truncate");
    request.rebuild_indexes = indexes_argument(fcinfo, 7);
    request.triggers = bool_argument(fcinfo, 8, "triggers");
    request.statistics = bool_argument(fcinfo, 9, "statistics");
    request.source_encoding = encoding_argument(fcinfo, 10, "source_encoding");
    request.sequences = bool_argument(fcinfo, 11, "sequences");
    request.foreign_keys = true;
    request.chunk_size_kb = settings::chunk_size_kb;
    read_job_settings(&request);
    return request;
}

int64 clone_tables(FunctionCallInfo fcinfo) {
    PreventCommandIfReadOnly("fastcopy.clone()");
    PreventCommandDuringRecovery("fastcopy.clone()");
    return launch_new_job(read_request(fcinfo));
}

}  // namespace

}  // namespace fastcopy::api

extern "C" {

PG_FUNCTION_INFO_V1(fastcopy_clone);

// fastcopy.clone(...) → bigint
PGDLLEXPORT Datum fastcopy_clone(PG_FUNCTION_ARGS) {
    fastcopy::api::check_sql_objects();
    PG_RETURN_INT64(fastcopy::api::clone_tables(fcinfo));
}
}
