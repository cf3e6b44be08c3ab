/*
 * redact: what of libpq's complaint about a connection string may be shown.
 *
 * When libpq cannot parse a connection string, its message quotes the piece that it stumbled over, and
 * that may be a piece of the password ('missing "=" after "sesame" in connection info string', for
 * password=open sesame). What stands between the first quote and the last is replaced by three dots; only
 * the "=" at the beginning of that very message and its like is passed over. A quote that is part of the secret cannot end the redaction
 * early, since it goes to the last quote of all.
 *
 * The name of an unknown option is sure not to be a password, and is what its author needs to read.
 */
#pragma once

#include <cstddef>
#include <span>
#include <string_view>

namespace fastcopy::core {

// Writes what may be shown of the message, cut if `out` is short, and returns its length in bytes. No NUL
// is written. Four bytes more than the message has are always enough.
std::size_t redact(std::string_view message, std::span<char> out) noexcept;

}  // namespace fastcopy::core
