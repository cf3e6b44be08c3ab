/*
 * jsonb_form: jsonb, from the text that is sent to what is stored.
 *
 * jsonb travels as text, even in binary. PostgreSQL reads that text as it reads any JSON: with a
 * lexer, a parser, a tree of values whose keys are sorted and made unique, and a walk over that
 * tree which writes the stored form. A source that has the value as jsonb sends it in one way only,
 * though: keys sorted and unique already, one space behind each comma and colon, numbers as numeric
 * prints them. Such a text can be written down as it is read.
 *
 * Only such texts are taken here, with at most so many values and levels, and without \u escapes.
 * For any other, and for anything that is not jsonb, the answer is no, and PostgreSQL's own
 * function says what it is.
 *
 * The stored form is that of utils/jsonb.h, which cannot change without breaking pg_upgrade.
 */
#pragma once

#include <cstdint>
#include <string_view>

namespace fastcopy::core {

// A scalar, or the beginning of an array or of an object.
struct JsonbNode {
    enum class Kind : std::uint8_t { null, no, yes, number, string, array, object };

    const char *text;  // of a number, or between the quotes of a string
    int size;          // of that text; of an array its elements, of an object its pairs
    int next;          // the node behind it and all that is in it
    Kind kind;
    bool escaped;  // a string with backslashes
};

// The memory to work in; a text that needs more is left to PostgreSQL.
struct JsonbDesk {
    JsonbNode *nodes;
    int max_nodes;
    char *bytes;  // aligned as an int
    int capacity;
};

// Puts the stored form, a varlena with a header of four bytes, onto the desk; returns its size, or
// 0. The text's characters must be valid in an encoding whose other bytes are not ASCII, as all of
// a server's are.
int form_jsonb(std::string_view text, const JsonbDesk &desk) noexcept;

}  // namespace fastcopy::core
