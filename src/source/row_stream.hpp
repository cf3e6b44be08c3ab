// The row stream: the bytes of one COPY TO STDOUT of the source, in the form that COPY FROM reads.
//
// libpq receives a message per row. PQgetlineAsync copies as many bytes as fit straight from
// libpq's buffer into the reader's; unlike PQgetCopyData it allocates nothing per row. A read waits
// only if there is nothing at all to return.
//
// The stream counts rows and bytes, and keeps the size of the largest row that the last
// read touched: an upper bound for any row that the reader can complete from it.
#ifndef FASTCOPY_SOURCE_ROW_STREAM_HPP
#define FASTCOPY_SOURCE_ROW_STREAM_HPP

#include "source/connection.hpp"

namespace fastcopy::source {

struct RowStream {
    Connection *connection;
    const char *sql;      // for error messages
    uint64 messages;      // whole messages read
    uint64 bytes;         // bytes read
    int message_bytes;    // so far, of the unfinished message
    int largest_message;  // touched by the last read
    bool at_end;
    uint64 rows_sent;  // the source's count; valid at the end
};

// Starts the COPY.
RowStream open(Connection *connection, const char *sql);

// Reads up to `size` bytes and at least one, or returns 0 at the end. A COPY that the source did
// not complete is an ERROR, not an end.
int read(RowStream *stream, char *buffer, int size);

}  // namespace fastcopy::source

#endif
