// Results of functions that return a set, as a tuplestore.
#ifndef FASTCOPY_PG_SET_RESULT_HPP
#define FASTCOPY_PG_SET_RESULT_HPP

#include "pg/postgres.hpp"

namespace fastcopy::pg {

// Gives the call an empty tuplestore for rows of its declared type; setResult and setDesc of what is returned.
// An ERROR if the caller does not take a set.
ReturnSetInfo *begin_set(FunctionCallInfo fcinfo);

}  // namespace fastcopy::pg

#endif
