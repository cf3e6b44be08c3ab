// Arguments of the SQL functions that take a source table and a target table: read, and checked as far as
// the calling session can.
#ifndef FASTCOPY_API_ARGUMENTS_HPP
#define FASTCOPY_API_ARGUMENTS_HPP

#include "job/request.hpp"

namespace fastcopy::api {

[[noreturn]] void raise_null(const char *argument);

// A text argument, palloc'd; nullptr for NULL, unless it is required: then NULL is an ERROR with its name.
const char *text_argument(FunctionCallInfo fcinfo, int n, const char *required_name);
bool bool_argument(FunctionCallInfo fcinfo, int n, const char *name);

// The canonical name of an encoding that a source's database may have and that can be converted into this
// database's; nullptr for NULL. Anything else is an ERROR.
const char *encoding_argument(FunctionCallInfo fcinfo, int n, const char *name);

// The arguments source, source_table, target_table, workers, key, filter and columns, which come first and
// in this order. The rest of the request is left zero.
job::Request read_table_arguments(FunctionCallInfo fcinfo);

// An ERROR unless a job may ask for so many workers.
void check_workers(int workers);

}  // namespace fastcopy::api

#endif
