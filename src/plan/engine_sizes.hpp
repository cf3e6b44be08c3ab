// How large a table is that an engine keeps, as the engine says: for progress, and for the number
// of chunks.
//
// The table's own file is empty, or nearly so. Where the engine cannot be asked, sizes stay as they
// are.
#ifndef FASTCOPY_PLAN_ENGINE_SIZES_HPP
#define FASTCOPY_PLAN_ENGINE_SIZES_HPP

#include "plan/source_table.hpp"
#include "source/connection.hpp"

namespace fastcopy::plan {

// The size of a table with these leaves on all nodes of a Citus cluster; 0 if it is unknown.
int64 distributed_size(source::Connection *connection, const Leaves &leaves);

// Adds to the sizes of a hypertable's chunks their sizes before compression, which is what will be
// read.
void add_compressed_sizes(source::Connection *connection, const SourceTable &table, Leaves *leaves);

}  // namespace fastcopy::plan

#endif
