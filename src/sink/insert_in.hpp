// INSERT as a sink: a stream of COPY bytes in, rows where INSERT INTO target puts them out.
//
//     for each batch:   INSERT INTO target (columns) SELECT ... FROM fastcopy.incoming_rows()
//                       which reads rows from the stream into a tuplestore, up to a batch
//
// The statement runs through SPI, as the job's role, in the chunk's transaction. So planner hooks,
// rules and INSTEAD OF triggers see it; Citus commits what it has sent to its nodes in two phases,
// with the mark in the ledger. Values are converted to the target's columns as by COPY FROM:
// identity columns keep the given values, generated columns are left out, and columns that are not
// in the stream take their defaults.
//
// A crash of this server must not lose the mark of rows that other servers have committed: such a
// chunk is committed with synchronous_commit on.
#ifndef FASTCOPY_SINK_INSERT_IN_HPP
#define FASTCOPY_SINK_INSERT_IN_HPP

#include "sink/byte_source.hpp"
#include "sink/writer.hpp"

namespace fastcopy::sink {

// Copies the stream into the target, in the current transaction. `pstate` is from check_insert.
// Returns the number of rows inserted, as the INSERTs report it.
uint64 insert_in(Relation target, ParseState *pstate, int ncolumns, const char *const *columns,
                 const bool *as_written, bool binary, const char *encoding, const Writer &writer,
                 const ByteSource &source);

// What fastcopy.incoming_rows() returns: the next batch of the stream that this process inserts.
void give_batch(ReturnSetInfo *result);

}  // namespace fastcopy::sink

#endif
