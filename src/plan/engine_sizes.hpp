// How large a table is that an engine keeps, as the engine says: for progress, and for the number of chunks.
//
// The table's own file is empty, or nearly so. Where there is nobody to ask, sizes stay as they are.
#ifndef FASTCOPY_PLAN_ENGINE_SIZES_HPP
#define FASTCOPY_PLAN_ENGINE_SIZES_HPP

#include "plan/source_table.hpp"
#include "source/connection.hpp"

namespace fastcopy::plan {

// The bytes of a table with these leaves that Citus keeps, on all nodes; 0: nobody says.
int64 distributed_size(source::Connection *connection, const Leaves &leaves);

// Adds to chunks of a hypertable what was in them before they were compressed: so much will be read.
void add_compressed_sizes(source::Connection *connection, Leaves *leaves);

}  // namespace fastcopy::plan

#endif
