/*
 * redact: the part of libpq's error message about a connection string that may be shown.
 *
 * When libpq cannot parse a connection string, its message quotes the offending part, which may be
 * part of the password ('missing "=" after "sesame" in connection info string', for password=open
 * sesame). The text between the first quote and the last is replaced by three dots, except the "="
 * at the beginning of messages such as this one. A quote within the secret cannot end the redaction
 * early, as it extends to the last quote.
 *
 * The name of an unknown option cannot be a password, and is what the user needs to see.
 */
#pragma once

#include <cstddef>
#include <span>
#include <string_view>

namespace fastcopy::core {

// Writes what may be shown of the message, cut if `out` is short, and returns its length in bytes.
// No NUL is written. Four bytes more than the message has are always enough.
std::size_t redact(std::string_view message, std::span<char> out) noexcept;

}  // namespace fastcopy::core
