// Which columns are copied, and in which format they cross the wire.
//
// Columns match by name. Left out are columns that the target generates; columns only on the target take
// their defaults; a source column with no place to go is an ERROR unless `columns` leaves it out.
//
// Binary is the format where both sides are known to agree on the bytes of every column, which one
// column can spoil for all: the format is the COPY's. See the table in row_shape.cpp.
#ifndef FASTCOPY_PLAN_ROW_SHAPE_HPP
#define FASTCOPY_PLAN_ROW_SHAPE_HPP

#include "job/request.hpp"
#include "plan/chunk.hpp"
#include "plan/source_table.hpp"

namespace fastcopy::plan {

RowShape match_columns(const job::Request &request, const SourceColumns &source, Relation target,
                       int source_version, bool integer_datetimes);

}  // namespace fastcopy::plan

#endif
