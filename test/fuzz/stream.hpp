/*
 * stream: bytes that arrive in pieces, as a byte window reads them. How long each piece is, the bytes say.
 */
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "check.hpp"

struct Stream {
    const std::uint8_t *bytes;
    std::size_t size;
    std::size_t given;
};

inline int read_some(void *self, char *buffer, int size) {
    auto *stream = static_cast<Stream *>(self);
    CHECK(size > 0);
    if (stream->given == stream->size)
        return 0;
    std::size_t piece = 1 + stream->bytes[stream->given] % 97U;
    piece = std::min({piece, static_cast<std::size_t>(size), stream->size - stream->given});
    std::memcpy(buffer, stream->bytes + stream->given, piece);
    stream->given += piece;
    return static_cast<int>(piece);
}
