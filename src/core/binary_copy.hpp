/*
 * binary_copy: the frame of COPY's binary format, in which the fields of rows stand.
 *
 *   header   11 bytes of signature, 4 of flags, 4 with the length of an extension, the extension
 *   row      2 bytes with the number of fields; each field: 4 bytes with its length, or -1 for NULL, and its bytes
 *   trailer  a number of fields of -1
 *
 * (PostgreSQL's documentation of COPY, "Binary Format".) What is refused is what COPY FROM refuses, and the
 * answers here tell it as finely as its messages do. The bytes of fields, and what they mean, are the caller's.
 */
#pragma once

#include "core/byte_window.hpp"
#include "core/network_order.hpp"

namespace fastcopy::core {

enum class Header {
    good,
    no_signature,
    no_flags,
    with_oids,  // as before PostgreSQL 12
    unknown_flags,
    no_length,
    short_extension,
};

// Reads the header. The window's capacity must hold at least the signature.
Header take_header(ByteWindow *window) noexcept;

enum class RowStart {
    row,
    end,          // by a trailer, or without one where a row would begin, as a file may
    broken,       // within the number of fields
    more_at_end,  // something follows the trailer
};

// Reads the beginning of a row, and the number of its fields if there is a row: as sent, so of any sign.
inline RowStart begin_row(ByteWindow *window, int *nfields) noexcept {
    constexpr int trailer = -1;
    if (!has_more(window))
        return RowStart::end;
    const char *bytes = take(window, 2);
    if (bytes == nullptr)
        return RowStart::broken;
    *nfields = load<std::int16_t>(bytes);
    if (*nfields == trailer)
        return has_more(window) ? RowStart::more_at_end : RowStart::end;
    return RowStart::row;
}

constexpr std::int32_t null_field = -1;

// Reads the length of a field, as sent: null_field, other lengths below zero, which are none, or how many bytes
// follow. False if the stream ends before.
inline bool take_length(ByteWindow *window, std::int32_t *length) noexcept {
    const char *bytes = take(window, 4);
    if (bytes == nullptr)
        return false;
    *length = load<std::int32_t>(bytes);
    return true;
}

}  // namespace fastcopy::core
