// Answers of the source to queries other than COPY, and how they are validated.
//
// Answers are copied into palloc'd memory row by row, with a limit on their size. Text must be
// valid in the requested encoding, and rows must have the same number of columns. Callers state how
// large an answer must be and what must not be NULL. Anything else is an ERROR.
#ifndef FASTCOPY_SOURCE_ANSWER_HPP
#define FASTCOPY_SOURCE_ANSWER_HPP

#include "pg/postgres.hpp"

namespace fastcopy::source {

struct Connection;

// The ERROR of an answer that no PostgreSQL server would have given to the statement.
[[noreturn]] void raise_odd_answer(const char *detail);
[[noreturn]] void raise_odd_status(ExecStatusType status);

// The text rows of an answer, palloc'd.
struct Rows {
    int count;
    int columns;
    const char **fields;

    // A field, nullptr if it is NULL. An ERROR if the answer has too few rows or columns.
    const char *at_or_null(int row, int column) const;
    // A field; an ERROR if it is NULL.
    const char *at(int row, int column) const;
    // A field that is an integer in that range; anything else is an ERROR.
    int64 number_at(int row, int column, int64 least, int64 most) const;
};

// Receives the results of what was sent; returns the rows of the last statement.
Rows collect(Connection *connection, const char *sql);

}  // namespace fastcopy::source

#endif
