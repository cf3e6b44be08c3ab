// Plain insert: the fast path of binary rows into an ordinary table, or into plain partitions.
//
// COPY FROM spends more than half of its time on decoding a table of numbers, as it supports much
// that most tables do not need. Here, rows go from the row reader to the table's multi-insert, in
// batches as large as COPY's (1000 rows or 64 kB, generated columns included), then into the
// indexes; the executor routes them, checks constraints and computes generated columns. The
// inserted rows are the same as by COPY FROM, and so are the errors with their messages and
// context; pg_stat_progress_copy is updated with each batch.
//
// Memory: the executor's per-tuple context holds a batch and is reset with it; its query context
// holds the rest, and is freed at the end or with the transaction.
//
// Buffers: a process writes all its chunks through one ring (pg/bulk_insert).
#ifndef FASTCOPY_SINK_PLAIN_INSERT_HPP
#define FASTCOPY_SINK_PLAIN_INSERT_HPP

#include "sink/byte_source.hpp"

namespace fastcopy::sink {

// Whether the fast path is equivalent to COPY: plain leaves (see sink/leaves), and no defaults for
// columns that are not in the stream.
bool can_insert_plainly(Relation target, int ncolumns, const char *const *columns);

// Copies the stream into the target, in the current transaction. `pstate` is from check_insert.
uint64 insert_plainly(Relation target, ParseState *pstate, int ncolumns, const char *const *columns,
                      const ByteSource &source);

}  // namespace fastcopy::sink

#endif
