// Types whose values are objects of the database, and print as names: regclass and its like.
//
// How they print depends on the search_path: without a schema if the object would be found without.
#ifndef FASTCOPY_PLAN_NAME_TYPES_HPP
#define FASTCOPY_PLAN_NAME_TYPES_HPP

#include "plan/chunk.hpp"
#include "plan/source_table.hpp"

namespace fastcopy::plan {

// Whether a column has, on either side, such a type or one that contains it. Needs a transaction.
bool prints_names(const RowShape &shape, const SourceColumns &columns);

}  // namespace fastcopy::plan

#endif
