// The memory of libraries: what a process has malloc'd that is in no memory context.
#ifndef FASTCOPY_PG_LIBRARY_MEMORY_HPP
#define FASTCOPY_PG_LIBRARY_MEMORY_HPP

#include "pg/postgres.hpp"

namespace fastcopy::pg {

// Its size, or 0 where malloc does not tell (it does in glibc from 2.33 on).
size_t library_memory();

}  // namespace fastcopy::pg

#endif
