// A bulk insert whose ring of buffers belongs to the process.
//
// GetBulkInsertState allocates a new ring (16 MB, or an eighth of shared_buffers), and a ring that
// is filled only once has no effect: with a transaction per chunk of 8 MB, the table would go
// through ever more of the server's buffers. So the ring is allocated once, and only the state that
// belongs to a relation and a transaction is made anew. A ring holds buffer numbers and no pins, so
// an aborted transaction leaves nothing behind in it.
#ifndef FASTCOPY_PG_BULK_INSERT_HPP
#define FASTCOPY_PG_BULK_INSERT_HPP

#include "pg/postgres.hpp"

extern "C" {
#include "access/hio.h"
}

namespace fastcopy::pg {

// Prepares the state, in the caller's memory, for the current transaction. If that is
// aborted, the state's pin is released, and the state must not be used again.
void begin_bulk_insert(BulkInsertStateData *state);

// Unpins the state's page: at the end, and before the state is used for another relation.
void leave_relation(BulkInsertStateData *state);

}  // namespace fastcopy::pg

#endif
