// The memory of libraries: what is malloc'd in this process outside of memory contexts.
#ifndef FASTCOPY_PG_LIBRARY_MEMORY_HPP
#define FASTCOPY_PG_LIBRARY_MEMORY_HPP

#include "pg/postgres.hpp"

namespace fastcopy::pg {

// Its size, or 0 if malloc does not report it (glibc does from 2.33 on).
size_t library_memory();

}  // namespace fastcopy::pg

#endif
