#include "pg/bulk_insert.hpp"

#include "pg/buffer_ring.hpp"

namespace fastcopy::pg {

namespace {

// Forgets the empty blocks by which the former relation was extended.
void forget_extension(BulkInsertStateData *state) {
#if PG_VERSION_NUM >= 160000
    state->next_free = InvalidBlockNumber;
    state->last_free = InvalidBlockNumber;
#else
    (void)state;
#endif
}

}  // namespace

void begin_bulk_insert(BulkInsertStateData *state) {
    *state = BulkInsertStateData{};
    state->strategy = buffer_ring(BAS_BULKWRITE);
    state->current_buf = InvalidBuffer;
    forget_extension(state);
}

void leave_relation(BulkInsertStateData *state) {
    ReleaseBulkInsertStatePin(state);
    forget_extension(state);
}

}  // namespace fastcopy::pg
