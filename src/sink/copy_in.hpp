// The sink: a stream of COPY bytes goes in, rows of the target come out.
//
// It is PostgreSQL's own COPY FROM: defaults, generated columns, checks, triggers, partition routing and
// index entries are as for COPY target FROM STDIN. The sink knows a byte source only by the three
// functions below, never a connection: what carries the bytes may change without it.
#ifndef FASTCOPY_SINK_COPY_IN_HPP
#define FASTCOPY_SINK_COPY_IN_HPP

#include "pg/postgres.hpp"

namespace fastcopy::sink {

struct ByteSource {
    void *self;
    // Puts up to `size` bytes and at least one into the buffer; 0 at the end of the stream.
    int (*read)(void *self, char *buffer, int size);
    // An upper bound for the size of the rows that the last read completed.
    int (*largest_row)(void *self);
};

// Copies the stream into the target, in the current transaction. `pstate` is from check_insert and
// `columns` names the fields of the stream in order. Returns the number of rows inserted.
uint64 copy_in(Relation target, ParseState *pstate, int ncolumns, const char *const *columns,
               bool binary, const ByteSource &source);

}  // namespace fastcopy::sink

#endif
