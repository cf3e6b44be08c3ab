// What the source answers to a question, and how little of it is believed.
//
// Answers are copied into palloc'd memory row by row, so that one without end is noticed, and checked: text must
// be in the encoding that was asked for, rows as wide as one another. Who asks says how large an answer must
// be and what must not be NULL. A source that answers otherwise gets an ERROR, not a crash.
#ifndef FASTCOPY_SOURCE_ANSWER_HPP
#define FASTCOPY_SOURCE_ANSWER_HPP

#include "pg/postgres.hpp"

namespace fastcopy::source {

struct Connection;

// The source has said something that no PostgreSQL would have said to the question.
[[noreturn]] void raise_odd_answer(const char *what);

// The text rows of an answer, palloc'd.
struct Rows {
    int count;
    int columns;
    const char **fields;

    // A field, nullptr if it is NULL. An ERROR when the source has not sent so many.
    const char *at_or_null(int row, int column) const;
    // A field that cannot be NULL: an ERROR if it is.
    const char *at(int row, int column) const;
    // A field that is a whole number between these: an ERROR if it is not.
    int64 number_at(int row, int column, int64 least, int64 most) const;
};

// Receives the results of what was sent; returns the rows of the last statement.
Rows collect(Connection *connection, const char *sql);

}  // namespace fastcopy::source

#endif
