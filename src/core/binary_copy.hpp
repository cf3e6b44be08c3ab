/*
 * binary_copy: the framing of COPY's binary format.
 *
 *   header   11 bytes of signature, 4 of flags, 4 with the length of an extension, the extension
 *   row      2 bytes with the number of fields; each field: 4 bytes with its length, or -1 for
 *            NULL, and its bytes
 *   trailer  a number of fields of -1
 *
 * (PostgreSQL's documentation of COPY, "Binary Format".) Input that COPY FROM rejects is rejected
 * here, with results as specific as its messages. The bytes of fields, and what they mean, are the
 * caller's.
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
    end,          // by a trailer, or by the end of the stream before a row, as in files
    broken,       // within the number of fields
    more_at_end,  // data after the trailer
};

// Reads the start of a row, and the number of its fields if there is a row: as sent, so it may be
// negative.
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

// Reads the length of a field, as sent: null_field, an invalid negative length, or the number of
// bytes that follow. False if the stream ends before.
inline bool take_length(ByteWindow *window, std::int32_t *length) noexcept {
    const char *bytes = take(window, 4);
    if (bytes == nullptr)
        return false;
    *length = load<std::int32_t>(bytes);
    return true;
}

}  // namespace fastcopy::core
