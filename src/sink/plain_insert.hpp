// Plain insert: the short way of binary rows into an ordinary table, or one whose partitions are such.
//
// COPY FROM can do much, and pays for that with every field and row: for the table of numbers that the
// benchmark has, decoding takes it more than half of its time. Most tables need none of it. Here rows
// go from the row reader to the table's multi-insert, in batches as large as COPY's (1000 rows or
// 64 kB, generated columns included), then into the indexes; the executor routes them, checks
// constraints and computes generated columns. What is inserted, what is refused and with which message
// and context is the same; pg_stat_progress_copy is kept, though by the batch.
//
// Memory: what a batch needs is in the executor's per-tuple context, reset with every batch; the rest
// in its query context, freed at the end or with the transaction.
//
// Buffers: a process writes all its chunks through one ring (pg/bulk_insert).
#ifndef FASTCOPY_SINK_PLAIN_INSERT_HPP
#define FASTCOPY_SINK_PLAIN_INSERT_HPP

#include "sink/byte_source.hpp"

namespace fastcopy::sink {

// Whether the short way does all that COPY would: plain leaves (see sink/leaves), and no defaults for columns
// that are not in the stream.
bool can_insert_plainly(Relation target, int ncolumns, const char *const *columns);

// Copies the stream into the target, in the current transaction. `pstate` is from check_insert.
uint64 insert_plainly(Relation target, ParseState *pstate, int ncolumns, const char *const *columns,
                      const ByteSource &source);

}  // namespace fastcopy::sink

#endif
