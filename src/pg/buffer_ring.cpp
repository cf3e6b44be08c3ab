#include "pg/buffer_ring.hpp"

namespace fastcopy::pg {

BufferAccessStrategy buffer_ring(BufferAccessStrategyType type) {
    static BufferAccessStrategy rings[BAS_VACUUM + 1];
    if (rings[type] == nullptr) {
        MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);
        rings[type] = GetAccessStrategy(type);
        MemoryContextSwitchTo(old);
    }
    return rings[type];
}

}  // namespace fastcopy::pg
