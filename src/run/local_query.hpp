// Queries on this database, as the current role, whose answers are read as those of the source are.
#ifndef FASTCOPY_RUN_LOCAL_QUERY_HPP
#define FASTCOPY_RUN_LOCAL_QUERY_HPP

#include <span>

#include "source/answer.hpp"

namespace fastcopy::run {

// Runs a query that changes nothing, under an empty search_path, with text parameters. The rows are
// palloc'd in the current memory context.
source::Rows query_here(const char *sql, std::span<const char *const> params = {});

}  // namespace fastcopy::run

#endif
