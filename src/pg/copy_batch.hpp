// How much COPY FROM may hold before it writes.
//
// CopyFrom collects up to 1000 rows, or as many as make 64 kB of input, before it inserts them. In
// binary mode PostgreSQL 14 to 17 never count the bytes (CopyMultiInsertInfoStore reads
// line_buf.len, which only the text parser sets), so 1000 rows of 100 MB would be held at once. The
// size of the row at hand is known to us: note it where CopyFrom looks.
#ifndef FASTCOPY_PG_COPY_BATCH_HPP
#define FASTCOPY_PG_COPY_BATCH_HPP

#include "pg/postgres.hpp"

namespace fastcopy::pg {

// Sets, for a binary CopyFrom, an upper bound for the size of the rows that it reads now.
inline void note_row_size(CopyFromState cstate, int bytes) {
    cstate->line_buf.len = bytes;
}

// Keeps NextCopyFrom from computing defaults for columns that are not in the stream: INSERT does.
inline void ignore_defaults(CopyFromState cstate) {
    cstate->num_defaults = 0;
}

}  // namespace fastcopy::pg

#endif
