// Shared memory that needs no shared_preload_libraries.
//
// PostgreSQL before 17 gives a library that was not preloaded only the slack of the main segment. So
// a tiny anchor lives there (a lock and a handle, as autoprewarm does it), and the real memory is a
// pinned dynamic segment behind it, made by whoever comes first. It lives until the server restarts.
#ifndef FASTCOPY_PG_SHMEM_HPP
#define FASTCOPY_PG_SHMEM_HPP

#include "pg/postgres.hpp"

namespace fastcopy::pg {

// Returns the address of the segment of this name (which must stay in memory) in this process, made and initialised (once per
// server start, by `initialise`) if need be. `lock` gets the lock that comes with it.
void *named_segment(const char *name, size_t size, void (*initialise)(void *memory), LWLock **lock);

}  // namespace fastcopy::pg

#endif
