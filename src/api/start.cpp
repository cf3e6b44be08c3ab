#include "api/start.hpp"

#include "api/arguments.hpp"
#include "api/launch.hpp"
#include "api/sql_objects.hpp"
#include "settings.hpp"

namespace fastcopy::api {

namespace {

// True for 'check'.
bool foreign_keys_argument(FunctionCallInfo fcinfo, int n) {
    const char *value = text_argument(fcinfo, n, "foreign_keys");
    bool check = strcmp(value, "check") == 0;
    if (!check && strcmp(value, "skip") != 0)
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("invalid value for argument \"foreign_keys\": \"%s\"", value),
                        errhint("Valid values are \"check\" and \"skip\".")));
    return check;
}

job::Request read_request(FunctionCallInfo fcinfo) {
    job::Request request = read_table_arguments(fcinfo);
    request.truncate = bool_argument(fcinfo, 7, "truncate");
    request.rebuild_indexes = indexes_argument(fcinfo, 8);
    request.triggers = bool_argument(fcinfo, 9, "triggers");
    request.statistics = bool_argument(fcinfo, 10, "statistics");
    request.source_encoding = encoding_argument(fcinfo, 11, "source_encoding");
    request.sequences = bool_argument(fcinfo, 12, "sequences");
    request.foreign_keys = foreign_keys_argument(fcinfo, 13);
    request.chunk_size_kb = settings::chunk_size_kb;
    read_job_settings(&request);
    return request;
}

}  // namespace

int64 start_job(FunctionCallInfo fcinfo) {
    PreventCommandIfReadOnly("fastcopy.start()");
    PreventCommandDuringRecovery("fastcopy.start()");
    return launch_new_job(read_request(fcinfo));
}

}  // namespace fastcopy::api

extern "C" {

PG_FUNCTION_INFO_V1(fastcopy_start);

// fastcopy.start(...) → bigint
PGDLLEXPORT Datum fastcopy_start(PG_FUNCTION_ARGS) {
    fastcopy::api::check_sql_objects();
    PG_RETURN_INT64(fastcopy::api::start_job(fcinfo));
}
}
