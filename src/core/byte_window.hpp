/*
 * byte_window: a stream of bytes, seen through a buffer of fixed size.
 *
 * A parser of a stream needs the next n bytes in one piece, without a copy if they are in the
 * buffer already. take() returns them, reading more first if need be; take_into() copies any number
 * of bytes, whatever the size of the buffer. Both report an early end of the stream; nothing is
 * read beyond what was received.
 *
 * The reader of untrusted rows is built on this, so it is here, where it is fuzzed alone.
 */
#ifndef FASTCOPY_CORE_BYTE_WINDOW_HPP
#define FASTCOPY_CORE_BYTE_WINDOW_HPP

#include <cstdint>

namespace fastcopy::core {

struct ByteWindow {
    // Reads up to `size` bytes, and at least one, into the buffer; 0 at the end of the stream. It
    // may leave by longjmp: the window is not used any more then, and functions that call it are
    // not noexcept.
    int (*read)(void *self, char *buffer, int size);
    void *self;
    char *buffer;  // of the owner, `capacity` bytes
    int capacity;
    int begin;  // of what has not been taken
    int end;
    std::uint64_t taken;  // bytes, so far
};

// Moves the remaining bytes to the front and reads until the buffer has `size` bytes; false if the
// stream ends first. `size` is at most the capacity.
bool refill(ByteWindow *window, int size);

// Whether there is at least one byte more.
inline bool has_more(ByteWindow *window) {
    return window->begin < window->end || refill(window, 1);
}

// The next bytes, which stay in place until more are requested; nullptr if the stream ends before.
// `size` is from 0 to the capacity.
inline char *take(ByteWindow *window, int size) {
    if (window->end - window->begin < size && !refill(window, size))
        return nullptr;
    char *bytes = window->buffer + window->begin;
    window->begin += size;
    window->taken += static_cast<std::uint64_t>(size);
    return bytes;
}

// Copies the next bytes, of any number, to the target; false if the stream ends before.
bool take_into(ByteWindow *window, char *target, int size);

}  // namespace fastcopy::core

#endif
