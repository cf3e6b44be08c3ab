/*
 * sql_name: whether a text is nothing but a name, as it is written in SQL.
 *
 * The source tells the names of tables, types, collations and operators ready to be put into statements,
 * quoted where that is needed. A job keeps them, and may be resumed with another source, by another role: a
 * source of ill will must not have handed it statements of its own. So what is not a name is not taken.
 *
 * What is taken is what PostgreSQL's quote_ident and format_type make: identifiers of lower-case ASCII letters,
 * digits and underscores, and any others in double quotes. A name has 1024 bytes at the most: that is two
 * identifiers of twice the usual length, in quotes.
 */
#pragma once

#include <string_view>

namespace fastcopy::core {

// Identifiers with dots between them.
bool is_name(std::string_view text) noexcept;

// The same, or the words of a built-in type as in "timestamp without time zone"; an array has [] behind it.
bool is_type_name(std::string_view text) noexcept;

// OPERATOR(schema.symbol).
bool is_operator_name(std::string_view text) noexcept;

}  // namespace fastcopy::core
