/*
 * sql_name: whether a text is a name as written in SQL, and nothing else.
 *
 * The source sends the names of tables, types, collations and operators quoted, ready to be put
 * into statements. A job keeps them, and may be resumed with another source, by another role: a
 * malicious source must not be able to inject statements. So anything that is not a name is
 * rejected.
 *
 * Accepted is the output of PostgreSQL's quote_ident and format_type: identifiers of lower-case
 * ASCII letters, digits and underscores, and any others in double quotes. A name has at most 1024
 * bytes: two identifiers of twice the usual length, in quotes.
 */
#pragma once

#include <string_view>

namespace fastcopy::core {

// Identifiers with dots between them.
bool is_name(std::string_view text) noexcept;

// The same, or the words of a built-in type as in "timestamp without time zone"; an array type ends
// in [].
bool is_type_name(std::string_view text) noexcept;

// OPERATOR(schema.symbol).
bool is_operator_name(std::string_view text) noexcept;

}  // namespace fastcopy::core
