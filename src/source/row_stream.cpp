#include "source/row_stream.hpp"

namespace fastcopy::source {

namespace {

constexpr long longest_wait_ms = 1000;

// The source has stopped sending: find out whether it completed the COPY.
void finish(RowStream *stream) {
    Connection *connection = stream->connection;
    for (;;) {
        while (PQisBusy(connection->conn)) {
            wait_readable(connection);
            if (PQconsumeInput(connection->conn) == 0)
                break;
        }
        PGresult *result = PQgetResult(connection->conn);
        if (result == nullptr)
            break;
        ExecStatusType status = PQresultStatus(result);
        if (status != PGRES_COMMAND_OK && status != PGRES_FATAL_ERROR) {
            PQclear(result);
            raise_odd_answer(PQresStatus(status));
        }
        if (status != PGRES_COMMAND_OK)
            raise_remote_error(connection, result, stream->sql);
        stream->rows_sent = strtou64(PQcmdTuples(result), nullptr, 10);
        PQclear(result);
        stream->at_end = true;
    }
    if (!stream->at_end)
        raise_remote_error(connection, nullptr, stream->sql);
}

}  // namespace

RowStream open(Connection *connection, const char *sql) {
    start_copy(connection, sql);
    RowStream stream{};
    stream.connection = connection;
    stream.sql = sql;
    return stream;
}

int read(RowStream *stream, char *buffer, int size) {
    int filled = 0;
    bool consumed = false;

    if (stream->at_end)
        return 0;
    stream->largest_message = stream->message_bytes;
    while (filled < size) {
        int room = size - filled;
        int got = PQgetlineAsync(stream->connection->conn, buffer + filled, room);
        if (got > 0) {
            filled += got;
            stream->message_bytes += got;
            stream->largest_message = Max(stream->largest_message, stream->message_bytes);
            // A full buffer leaves open whether the message has more; taking it for unfinished
            // errs on the side of a larger row.
            if (got < room) {
                stream->messages++;
                stream->message_bytes = 0;
            }
        } else if (got < 0) {
            if (filled == 0)
                finish(stream);
            break;
        } else if (filled > 0) {
            break;
        } else {
            // Nothing buffered: take what the socket has before going to sleep on it.
            // Not for ever: libpq tells an empty message, which PostgreSQL never sends, like none.
            if (consumed)
                wait_readable(stream->connection, longest_wait_ms);
            if (PQconsumeInput(stream->connection->conn) == 0)
                finish(stream);
            consumed = true;
        }
    }
    stream->bytes += filled;
    return filled;
}

}  // namespace fastcopy::source
