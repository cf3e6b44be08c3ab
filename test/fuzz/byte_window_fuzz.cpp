// Fuzz target: a byte window against the stream itself. The input determines how the stream
// arrives, the size of the buffer and the requests; each answer must be the bytes at that position
// of the stream, or its end.
#include <algorithm>
#include <cstring>
#include <vector>

#include "check.hpp"
#include "core/byte_window.hpp"
#include "stream.hpp"

using namespace fastcopy::core;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
    if (size < 2)
        return 0;
    Stream stream{data, size, 0};
    std::vector<char> buffer(1 + data[0] % 64U);
    ByteWindow window{read_some, &stream, buffer.data(), static_cast<int>(buffer.size()), 0, 0, 0};
    std::size_t place = 0;
    std::vector<char> target;
    for (std::size_t i = 0; i < 10000 && place < size; i++) {
        std::uint8_t step = data[1 + i % (size - 1)];
        int wanted = step / 4;
        const char *got;
        if (step % 4U == 0 && wanted > 0) {
            // Exactly as large as the request, so that the sanitizer sees any byte written beyond
            // it.
            wanted *= 3;
            target = std::vector<char>(static_cast<std::size_t>(wanted));
            got = take_into(&window, target.data(), wanted) ? target.data() : nullptr;
        } else {
            wanted = std::min(wanted, window.capacity);
            got = take(&window, wanted);
        }
        CHECK((got != nullptr) == (size - place >= static_cast<std::size_t>(wanted)));
        if (got == nullptr)
            break;
        CHECK(std::memcmp(got, data + place, static_cast<std::size_t>(wanted)) == 0);
        place += static_cast<std::size_t>(wanted);
        CHECK(window.taken == place);
        CHECK(has_more(&window) == (place < size));
    }
    return 0;
}
