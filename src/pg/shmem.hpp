// Shared memory that needs no shared_preload_libraries.
//
// PostgreSQL 17 and later have named dynamic segments, which core keeps in a registry of its own;
// the lock precedes the memory in the segment. In older servers, a library that is not preloaded
// can only use the slack of the main segment: a tiny anchor is allocated there (a lock and a
// handle, as in core's autoprewarm), and the memory itself is a pinned dynamic segment, created by
// the first process. Both live until the server restarts.
#ifndef FASTCOPY_PG_SHMEM_HPP
#define FASTCOPY_PG_SHMEM_HPP

#include "pg/postgres.hpp"

namespace fastcopy::pg {

// Returns the address of the segment of this name in this process. The first call after a server
// start creates the segment and calls `initialize` on it. `lock` is set to the segment's lock. The
// name must stay valid.
void *named_segment(const char *name, size_t size, void (*initialize)(void *memory), LWLock **lock);

// Maps a dynamic segment for the life of this process; nullptr if it is gone.
dsm_segment *map_segment(dsm_handle handle);

}  // namespace fastcopy::pg

#endif
