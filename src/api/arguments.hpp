// Arguments of the SQL functions that take a source table and a target table: read, and checked as
// far as possible in the calling session.
#ifndef FASTCOPY_API_ARGUMENTS_HPP
#define FASTCOPY_API_ARGUMENTS_HPP

#include "job/request.hpp"

namespace fastcopy::api {

[[noreturn]] void raise_null(const char *argument);

// A text argument, palloc'd; nullptr for NULL, unless the argument is required: then NULL is an
// ERROR.
const char *text_argument(FunctionCallInfo fcinfo, int n, const char *required_name);
bool bool_argument(FunctionCallInfo fcinfo, int n, const char *name);

// The elements of a text[] argument, palloc'd; nullptr for NULL, with the count left as it is.
const char **texts_argument(FunctionCallInfo fcinfo, int n, const char *name, int *count);

// The argument "indexes": true for 'rebuild'.
bool indexes_argument(FunctionCallInfo fcinfo, int n);

// The canonical name of an encoding that a source's database may have and that can be converted
// into this database's; nullptr for NULL. Anything else is an ERROR.
const char *encoding_argument(FunctionCallInfo fcinfo, int n, const char *name);

// Resolves the argument "source", and sets what the request has of it.
void set_source(job::Request *request, const char *given);

// Sets the request's number of workers.
void read_workers_argument(FunctionCallInfo fcinfo, int n, job::Request *request);

// The arguments source, source_table, target_table, workers, key, filter and columns, which come
// first and in this order, but for workers and key, which may change places. The rest of the request
// is left zero.
job::Request read_table_arguments(FunctionCallInfo fcinfo, int workers_at = 3, int key_at = 4);

// Reads the settings of the calling session by which a job runs, new or resumed.
void read_job_settings(job::Request *request);

// An ERROR unless the number of workers is within the limits.
void check_workers(int workers);

}  // namespace fastcopy::api

#endif
