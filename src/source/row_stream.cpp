#include "source/row_stream.hpp"

#include "core/answer_text.hpp"
#include "source/memory_limit.hpp"
#include "source/remote_error.hpp"

namespace fastcopy::source {

namespace {

// Finds out, when the source has stopped sending, whether it completed the COPY.
void finish(RowStream *stream) {
    Connection *connection = stream->connection;
    for (;;) {
        PGresult *result = next_result(connection);
        if (result == nullptr)
            break;
        ExecStatusType status = PQresultStatus(result);
        if (status == PGRES_FATAL_ERROR)
            raise_remote_error(connection, result, stream->sql);
        if (status != PGRES_COMMAND_OK || stream->at_end) {
            PQclear(result);
            raise_odd_answer("The source sent data after the end of COPY.");
        }
        auto rows_sent = core::parse_number<uint64>(PQcmdTuples(result));
        PQclear(result);
        if (!rows_sent)
            raise_odd_answer("The source ended COPY without a number of rows.");
        stream->rows_sent = *rows_sent;
        stream->at_end = true;
    }
    if (!stream->at_end)
        raise_remote_error(connection, nullptr, stream->sql);
}

// Like PQgetlineAsync, which however returns 0 for an empty message too. Then PQgetCopyData skips
// such messages, and returns the next whole message if it is there.
int take(Connection *connection, char *buffer, int room) {
    if (connection->held == nullptr) {
        int got = PQgetlineAsync(connection->conn, buffer, room);
        if (got != 0)
            return got;
        connection->held_used = 0;
        connection->held_bytes = PQgetCopyData(connection->conn, &connection->held, 1);
        if (connection->held_bytes <= 0)
            return connection->held_bytes;
    }
    int got = Min(room, connection->held_bytes - connection->held_used);
    memcpy(buffer, connection->held + connection->held_used, got);
    connection->held_used += got;
    if (connection->held_used == connection->held_bytes) {
        PQfreemem(connection->held);
        connection->held = nullptr;
    }
    return got;
}

// Sends statements whose last is a COPY TO STDOUT, and returns once the source has begun to copy.
void start_copy(Connection *connection, const char *sql) {
    memory_limit::allow_large_rows();
    send(connection, sql);
    for (;;) {
        PGresult *result = next_result(connection);
        ExecStatusType status = PQresultStatus(result);
        if (status == PGRES_COMMAND_OK) {
            PQclear(result);
            continue;
        }
        if (status == PGRES_FATAL_ERROR)
            raise_remote_error(connection, result, sql);
        PQclear(result);
        if (status != PGRES_COPY_OUT)
            raise_odd_status(status);
        return;
    }
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

    // With a source that never pauses, no wait would process interrupts.
    CHECK_FOR_INTERRUPTS();
    if (stream->at_end)
        return 0;
    stream->largest_message = stream->message_bytes;
    while (filled < size) {
        int room = size - filled;
        int got = take(stream->connection, buffer + filled, room);
        if (got > 0) {
            filled += got;
            stream->message_bytes += got;
            stream->largest_message = Max(stream->largest_message, stream->message_bytes);
            // After a full buffer, the message may continue. Assuming that it does
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
            // Nothing is buffered: read the socket before waiting for it.
            if (consumed)
                wait_readable(stream->connection);
            if (!consume(stream->connection))
                finish(stream);
            consumed = true;
        }
    }
    stream->bytes += filled;
    return filled;
}

}  // namespace fastcopy::source
