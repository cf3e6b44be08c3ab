// Results of functions that return a set, as a tuplestore.
#ifndef FASTCOPY_PG_SET_RESULT_HPP
#define FASTCOPY_PG_SET_RESULT_HPP

#include "pg/postgres.hpp"

namespace fastcopy::pg {

// Creates an empty tuplestore for the function's result; it is setResult of what is returned, for
// rows of setDesc. An ERROR if the caller does not accept a set.
ReturnSetInfo *begin_set(FunctionCallInfo fcinfo);

}  // namespace fastcopy::pg

#endif
