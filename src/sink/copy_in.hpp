// The sink: a stream of COPY bytes goes in, rows of the target come out.
//
// What happens to a row is what COPY target FROM STDIN does: defaults, generated columns, checks, triggers,
// partition routing and index entries. Mostly that is PostgreSQL's own COPY FROM at work. Binary rows for
// a table without triggers and defaults to obey go a shorter way, sink/plain_insert. Where an INSERT
// by the target's name would not put the rows into its own storage, they go by such an INSERT, sink/insert_in. The
// sink knows a byte source by three functions, never a connection: what carries the bytes may change without it.
#ifndef FASTCOPY_SINK_COPY_IN_HPP
#define FASTCOPY_SINK_COPY_IN_HPP

#include "sink/byte_source.hpp"

namespace fastcopy::sink {

// Whether rows with these columns, in binary or as text, take the fast path. If not, COPY FROM takes a
// new ring of buffers for each stream, and streams should be several times as long as that ring.
bool takes_fast_path(Relation target, int ncolumns, const char *const *columns, bool binary);

// Copies the stream into the target, in the current transaction. `pstate` is from check_insert and
// `columns` names the fields of the stream in order; `as_written` tells which of them are read so (see
// sink/as_written.hpp). `encoding` is that of text rows, nullptr for this database's. Returns the number of rows
// inserted.
uint64 copy_in(Relation target, ParseState *pstate, int ncolumns, const char *const *columns,
               const bool *as_written, bool binary, const char *encoding, const ByteSource &source);

// Begins to parse the stream as COPY FROM does. One stream at a time in a process; end with EndCopyFrom.
CopyFromState begin_parsing(Relation target, ParseState *pstate, int ncolumns,
                            const char *const *columns, const bool *as_written, bool binary,
                            const char *encoding, const ByteSource &source);

}  // namespace fastcopy::sink

#endif
