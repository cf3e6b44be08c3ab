// A bulk insert whose ring of buffers belongs to the process.
//
// GetBulkInsertState makes a ring of its own (16 MB, or an eighth of shared_buffers), and a ring that is filled once
// saves nothing: with a transaction per chunk of 8 MB the table would go through ever more of the server's buffers. So
// the ring is made once, and only the state that hangs on a relation and a transaction begins anew. A ring holds no
// pins, merely buffers' numbers, so that an aborted transaction leaves nothing behind in it.
#ifndef FASTCOPY_PG_BULK_INSERT_HPP
#define FASTCOPY_PG_BULK_INSERT_HPP

#include "pg/postgres.hpp"

extern "C" {
#include "access/hio.h"
}

namespace fastcopy::pg {

// This process's ring, made at the first call.
BufferAccessStrategy buffer_ring();

// Prepares the state, which is the caller's memory, for inserting into one relation. It belongs to the transaction: if that
// is aborted, so is the state's pin.
void begin_bulk_insert(BulkInsertStateData *state);

// Unpins what the state has pinned: at the end, and before it is used for another relation.
void leave_relation(BulkInsertStateData *state);

}  // namespace fastcopy::pg

#endif
