#include "source/answer.hpp"

#include "core/answer_text.hpp"
#include "source/connection.hpp"
#include "source/encoding.hpp"
#include "source/remote_error.hpp"

namespace fastcopy::source {

namespace {

// The maximum size of an answer to a query other than COPY, far above that of any expected one.
constexpr size_t max_answer_bytes = size_t{64} << 20;

// Rows as they arrive.
struct Collector {
    Rows rows;
    int capacity;
    size_t bytes;
    bool complete;  // the next row starts another answer
};

const char *copy_field(const Connection *connection, Collector *collector, const PGresult *result,
                       int column) {
    if (PQgetisnull(result, 0, column))
        return nullptr;
    const char *value = decode(connection, PQgetvalue(result, 0, column));
    size_t length = strlen(value);
    collector->bytes += length + 32;  // plus about what palloc adds
    if (!pg_verify_mbstr(GetDatabaseEncoding(), value, static_cast<int>(length), true))
        raise_odd_answer("The source returned text that is not valid in the requested encoding.");
    return pstrdup(value);
}

void add_row(const Connection *connection, Collector *collector, const PGresult *result) {
    Rows *rows = &collector->rows;
    if (collector->complete || rows->count == 0) {
        *collector = Collector{};
        rows->columns = PQnfields(result);
    }
    if (PQnfields(result) != rows->columns)
        raise_odd_answer("The source returned rows with different numbers of columns.");
    if (rows->count == collector->capacity) {
        collector->capacity = Max(16, collector->capacity * 2);
        Size size = mul_size(sizeof(char *), mul_size(collector->capacity, Max(rows->columns, 1)));
        rows->fields = static_cast<const char **>(
            rows->fields == nullptr ? palloc(size) : repalloc(rows->fields, size));
    }
    collector->bytes += sizeof(char *) * (rows->columns + 1);
    for (int i = 0; i < rows->columns; i++)
        rows->fields[rows->count * rows->columns + i] =
            copy_field(connection, collector, result, i);
    rows->count++;
    if (collector->bytes > max_answer_bytes)
        raise_odd_answer("The answer is too large.");
}

// Receives all results; the one at hand is in `*current`, which the caller clears after an error.
void receive(Connection *connection, const char *sql, Collector *collector,
             PGresult *volatile *current) {
    bool answered = false;
    for (;;) {
        PGresult *result = next_result(connection);
        if (result == nullptr)
            break;
        *current = result;
        answered = true;
        switch (PQresultStatus(result)) {
            case PGRES_SINGLE_TUPLE:
                add_row(connection, collector, result);
                break;
            case PGRES_TUPLES_OK:
            case PGRES_COMMAND_OK:
                if (collector->complete)
                    *collector = Collector{};
                collector->complete = true;
                break;
            case PGRES_FATAL_ERROR:
                *current = nullptr;
                raise_remote_error(connection, result, sql);
            default:
                // In particular an unexpected COPY, which libpq would return again and again.
                raise_odd_status(PQresultStatus(result));
        }
        *current = nullptr;
        PQclear(result);
    }
    if (!answered)
        raise_remote_error(connection, nullptr, sql);
}

}  // namespace

void raise_odd_answer(const char *detail) {
    ereport(ERROR,
            (errcode(ERRCODE_PROTOCOL_VIOLATION),
             errmsg("unexpected answer from the source server"), errdetail_internal("%s", detail)));
}

void raise_odd_status(ExecStatusType status) {
    raise_odd_answer(psprintf(_("The result status is %s."), PQresStatus(status)));
}

const char *Rows::at_or_null(int row, int column) const {
    if (row < 0 || row >= count || column < 0 || column >= columns)
        raise_odd_answer("The source returned too few rows or columns.");
    return fields[row * columns + column];
}

const char *Rows::at(int row, int column) const {
    const char *field = at_or_null(row, column);
    if (field == nullptr)
        raise_odd_answer("The source returned an unexpected null value.");
    return field;
}

int64 Rows::number_at(int row, int column, int64 least, int64 most) const {
    auto number = core::parse_number<int64>(at(row, column));
    if (!number || *number < least || *number > most)
        raise_odd_answer("The source returned an out-of-range value.");
    return *number;
}

Rows collect(Connection *connection, const char *sql) {
    PGresult *volatile current = nullptr;
    Collector collector{};
    (void)PQsetSingleRowMode(connection->conn);
    PG_TRY();
    { receive(connection, sql, &collector, &current); }
    PG_CATCH();
    {
        PQclear(current);
        PG_RE_THROW();
    }
    PG_END_TRY();
    return collector.rows;
}

}  // namespace fastcopy::source
