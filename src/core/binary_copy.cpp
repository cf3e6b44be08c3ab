#include "core/binary_copy.hpp"

#include <algorithm>
#include <cstring>

namespace fastcopy::core {

namespace {

constexpr char signature[] = "PGCOPY\n\377\r\n";  // with its terminating zero
static_assert(sizeof(signature) == 11);

}  // namespace

Header take_header(ByteWindow *window) noexcept {
    const char *bytes = take(window, sizeof(signature));
    if (bytes == nullptr || std::memcmp(bytes, signature, sizeof(signature)) != 0)
        return Header::no_signature;
    bytes = take(window, 4);
    if (bytes == nullptr)
        return Header::no_flags;
    // The upper half of the flags changes what follows, and no flag of it is known any more.
    std::uint32_t critical = load<std::uint32_t>(bytes) >> 16U;
    if ((critical & 1U) != 0)
        return Header::with_oids;
    if (critical != 0)
        return Header::unknown_flags;
    std::int32_t extension;
    if (!take_length(window, &extension) || extension < 0)
        return Header::no_length;
    while (extension > 0) {
        int piece = std::min(extension, window->capacity);
        if (take(window, piece) == nullptr)
            return Header::short_extension;
        extension -= piece;
    }
    return Header::good;
}

}  // namespace fastcopy::core
