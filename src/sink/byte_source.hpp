// The sink's view of where its bytes come from: three functions, never a connection.
#ifndef FASTCOPY_SINK_BYTE_SOURCE_HPP
#define FASTCOPY_SINK_BYTE_SOURCE_HPP

#include "pg/postgres.hpp"

namespace fastcopy::sink {

struct ByteSource {
    void *self;
    // Reads up to `size` bytes, and at least one, into the buffer; 0 at the end of the stream.
    int (*read)(void *self, char *buffer, int size);
    // An upper bound for the size of the rows that the last read completed.
    int (*largest_row)(void *self);
};

}  // namespace fastcopy::sink

#endif
