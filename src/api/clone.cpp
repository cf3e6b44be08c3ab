// fastcopy.clone: starts a job of many tables. run/find_tables.hpp says which.
#include "api/clone.hpp"

#include "api/arguments.hpp"
#include "api/launch.hpp"
#include "api/sql_objects.hpp"
#include "run/prerequisites.hpp"
#include "settings.hpp"

namespace fastcopy::api {

namespace {

bool create_argument(FunctionCallInfo fcinfo, int n) {
    const char *value = text_argument(fcinfo, n, "definitions");
    bool create = strcmp(value, "create") == 0;
    if (!create && strcmp(value, "keep") != 0)
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("invalid value for argument \"definitions\": \"%s\"", value),
                        errhint("Valid values are \"create\" and \"keep\".")));
    return create;
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

}  // namespace

job::Request read_clone_arguments(FunctionCallInfo fcinfo) {
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
    request.create = create_argument(fcinfo, 4);
    read_filters(fcinfo, 5, &request);
    request.owners = bool_argument(fcinfo, 6, "owners");
    request.privileges = bool_argument(fcinfo, 7, "privileges");
    request.truncate = bool_argument(fcinfo, 8, "truncate");
    // Tables that are created have no indexes, keys and triggers until all rows are in.
    request.rebuild_indexes = indexes_argument(fcinfo, 9) && !request.create;
    request.triggers = bool_argument(fcinfo, 10, "triggers");
    request.statistics = bool_argument(fcinfo, 11, "statistics");
    request.source_encoding = encoding_argument(fcinfo, 12, "source_encoding");
    request.sequences = bool_argument(fcinfo, 13, "sequences");
    if (request.create && request.truncate)
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("argument \"truncate\" must be false if tables are created"),
                        errhint("To copy into tables that exist, use definitions => 'keep'.")));
    request.foreign_keys = true;
    request.chunk_size_kb = settings::chunk_size_kb;
    read_job_settings(&request);
    return request;
}

namespace {

int64 clone_tables(FunctionCallInfo fcinfo) {
    PreventCommandIfReadOnly("fastcopy.clone()");
    PreventCommandDuringRecovery("fastcopy.clone()");
    job::Request request = read_clone_arguments(fcinfo);
    if (request.create)
        run::check_may_create();
    return launch_new_job(request);
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
