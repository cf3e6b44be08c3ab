// Rings of buffers that belong to the process, so that what it does with many tables or chunks goes
// through no more of the server's buffers than one statement would.
#ifndef FASTCOPY_PG_BUFFER_RING_HPP
#define FASTCOPY_PG_BUFFER_RING_HPP

#include "pg/postgres.hpp"

namespace fastcopy::pg {

// This process's ring of that type, allocated by the first call; nullptr if vacuum_buffer_usage_limit
// wants none for ANALYZE.
BufferAccessStrategy buffer_ring(BufferAccessStrategyType type);

}  // namespace fastcopy::pg

#endif
