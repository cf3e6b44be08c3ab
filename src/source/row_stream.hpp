// The row stream: the bytes of one COPY TO STDOUT of the source, as COPY FROM wants to read them.
//
// libpq receives a message per row. They are copied straight from libpq's buffer into the reader's, as
// many as fit, by PQgetlineAsync: unlike PQgetCopyData it allocates nothing per row. A read waits only
// when there is nothing at all to give.
//
// The stream counts as it goes: rows and bytes so far, and the size of the largest row that the last
// read touched, which bounds the size of any row that the reader can complete from it.
#ifndef FASTCOPY_SOURCE_ROW_STREAM_HPP
#define FASTCOPY_SOURCE_ROW_STREAM_HPP

#include "source/connection.hpp"

namespace fastcopy::source {

struct RowStream {
    Connection *connection;
    const char *sql;      // for error messages
    uint64 messages;      // whole messages read
    uint64 bytes;         // bytes read
    int message_bytes;    // of the message that the last read left unfinished
    int largest_message;  // that the last read touched
    bool at_end;
    uint64 rows_sent;  // what the source says it sent; valid at the end
};

// Starts the COPY.
RowStream open(Connection *connection, const char *sql);

// Reads up to `size` bytes and at least one, or returns 0 at the end. A COPY that the source did not
// complete is an ERROR, not an end.
int read(RowStream *stream, char *buffer, int size);

}  // namespace fastcopy::source

#endif
