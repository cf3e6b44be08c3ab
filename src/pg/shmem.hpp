// Shared memory that needs no shared_preload_libraries.
//
// PostgreSQL 17 and later have named dynamic segments, which core keeps in a registry of its own; the lock
// stands in front of the memory. Older servers give a library that was not preloaded only the slack of the
// main segment. There a tiny anchor lives in it (a lock and a handle, as in core's autoprewarm), and the
// real memory is a pinned dynamic segment behind it, made by whoever comes first. Either lives until the
// server restarts.
#ifndef FASTCOPY_PG_SHMEM_HPP
#define FASTCOPY_PG_SHMEM_HPP

#include "pg/postgres.hpp"

namespace fastcopy::pg {

// Returns the address of the segment of this name (which must stay in memory) in this process, made and initialised (once per
// server start, by `initialise`) if need be. `lock` gets the lock that comes with it.
void *named_segment(const char *name, size_t size, void (*initialise)(void *memory), LWLock **lock);

// Maps a dynamic segment for the life of this process; nullptr if it is gone.
dsm_segment *map_segment(dsm_handle handle);

}  // namespace fastcopy::pg

#endif
