// The sink: turns a stream of COPY bytes into rows of the target.
//
// Each row is treated as by COPY target FROM STDIN: defaults, generated columns, checks, triggers,
// partition routing and index entries. There are three ways:
//
//   sink/plain_insert   the fast path: binary rows for a table without triggers or needed defaults
//   COPY FROM           PostgreSQL's own, for all other tables whose INSERT stores rows in them
//   sink/insert_in      INSERT by the target's name, for planner hooks, rules and foreign tables
//
// The sink knows a byte source as three functions, never a connection: the transport may change
// without it.
#ifndef FASTCOPY_SINK_COPY_IN_HPP
#define FASTCOPY_SINK_COPY_IN_HPP

#include "sink/byte_source.hpp"

namespace fastcopy::sink {

// Whether rows with these columns, in binary or as text, take the fast path. COPY FROM takes a
// new ring of buffers for each stream, so streams should be several times as long as that ring.
bool takes_fast_path(Relation target, int ncolumns, const char *const *columns, bool binary);

// Copies the stream into the target, in the current transaction. `pstate` is from check_insert and
// `columns` names the fields of the stream in order; `as_written` is per field (see
// sink/as_written.hpp). `encoding` is that of text rows, nullptr for this database's. Returns the
// number of rows inserted.
uint64 copy_in(Relation target, ParseState *pstate, int ncolumns, const char *const *columns,
               const bool *as_written, bool binary, const char *encoding, const ByteSource &source);

// Begins to parse the stream as COPY FROM does; end it with EndCopyFrom. A process parses one
// stream at a time.
CopyFromState begin_parsing(Relation target, ParseState *pstate, int ncolumns,
                            const char *const *columns, const bool *as_written, bool binary,
                            const char *encoding, const ByteSource &source);

}  // namespace fastcopy::sink

#endif
