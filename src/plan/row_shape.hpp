// Which columns are copied, and in which format.
//
// Columns match by name. Columns that the target generates are left out; columns that only the
// target has take their defaults; a source column that the target does not have is an ERROR unless
// `columns` leaves it out.
//
// The format is binary if both sides are known to agree on the binary form of every column: one
// column decides for all, as the format is the COPY's. See the table in row_shape.cpp.
#ifndef FASTCOPY_PLAN_ROW_SHAPE_HPP
#define FASTCOPY_PLAN_ROW_SHAPE_HPP

#include "job/request.hpp"
#include "job/target_columns.hpp"
#include "plan/chunk.hpp"
#include "plan/source_table.hpp"

namespace fastcopy::plan {

RowShape match_columns(const job::Request &request, const job::Table &table,
                       const SourceColumns &source, const job::TargetColumns &target,
                       int source_version, bool integer_datetimes);

}  // namespace fastcopy::plan

#endif
