#include "pg/buffer_ring.hpp"

namespace fastcopy::pg {

namespace {

BufferAccessStrategy make_ring(BufferAccessStrategyType type) {
#if PG_VERSION_NUM >= 160000
    // As VACUUM and ANALYZE themselves; no ring if the limit is 0.
    if (type == BAS_VACUUM)
        return GetAccessStrategyWithSize(type, VacuumBufferUsageLimit);
#endif
    return GetAccessStrategy(type);
}

}  // namespace

BufferAccessStrategy buffer_ring(BufferAccessStrategyType type) {
    static BufferAccessStrategy rings[BAS_VACUUM + 1];
    if (rings[type] == nullptr) {
        MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);
        rings[type] = make_ring(type);
        MemoryContextSwitchTo(old);
    }
    return rings[type];
}

}  // namespace fastcopy::pg
