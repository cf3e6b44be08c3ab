#include "pg/library_memory.hpp"

#include <features.h>

#if defined(__GLIBC__) && __GLIBC_PREREQ(2, 33)
#include <malloc.h>
#define HAVE_MALLINFO2
#endif

namespace fastcopy::pg {

size_t library_memory() {
#ifdef HAVE_MALLINFO2
    struct mallinfo2 info = mallinfo2();
    size_t all = info.uordblks + info.hblkhd;
    size_t ours = MemoryContextMemAllocated(TopMemoryContext, true);
    return all > ours ? all - ours : 0;
#else
    return 0;
#endif
}

}  // namespace fastcopy::pg
