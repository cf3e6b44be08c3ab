#include "core/byte_window.hpp"

#include <algorithm>
#include <cstring>

namespace fastcopy::core {

bool refill(ByteWindow *window, int size) {
    int left = window->end - window->begin;
    if (left > 0)
        std::memmove(window->buffer, window->buffer + window->begin,
                     static_cast<std::size_t>(left));
    window->begin = 0;
    window->end = left;
    while (window->end < size) {
        int got = window->read(window->self, window->buffer + window->end,
                               window->capacity - window->end);
        if (got == 0)
            return false;
        window->end += got;
    }
    return true;
}

bool take_into(ByteWindow *window, char *target, int size) {
    int filled = std::min(size, window->end - window->begin);
    if (filled > 0)
        std::memcpy(target, window->buffer + window->begin, static_cast<std::size_t>(filled));
    window->begin += filled;
    while (filled < size) {
        int got = window->read(window->self, target + filled, size - filled);
        if (got == 0)
            return false;
        filled += got;
    }
    window->taken += static_cast<std::uint64_t>(size);
    return true;
}

}  // namespace fastcopy::core
