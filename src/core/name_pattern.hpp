/*
 * name_pattern: a pattern for names of tables, as psql's \d and pg_dump's -t take it, as regular
 * expressions.
 *
 * The rules are those of psql's manual, section "Patterns": letters are folded to lower case, * is
 * any sequence of characters and ? any one, a dot separates schema and table, and what is in double
 * quotes stands for itself. $ is always a character. Whatever else a regular expression gives a
 * meaning keeps it outside of quotes, such as [0-9] and (a|b).
 */
#pragma once

#include <cstddef>
#include <span>
#include <string_view>

namespace fastcopy::core {

/* Enough for each expression of a pattern of this length, with the terminating zero. */
constexpr std::size_t regex_size(std::size_t pattern_length) noexcept {
    return 2 * pattern_length + sizeof("^()$");
}

enum class NamePattern {
    invalid,   /* more than one dot, an open quote, or an empty name */
    table,     /* without a schema: `schema` is not written */
    qualified, /* with one */
};

/*
 * Writes the expressions, terminated by zero, anchored at both ends. Both buffers have regex_size()
 * bytes.
 */
NamePattern to_regexes(std::string_view pattern, std::span<char> schema,
                       std::span<char> table) noexcept;

}  // namespace fastcopy::core
