// Fuzz target: a number as sent, once stored, must have the same digits and no others; and a number
// written as text must be the same as one that was sent.
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "check.hpp"
#include "core/decimal.hpp"
#include "print_decimal.hpp"

namespace {

using namespace fastcopy::core;

std::string print(const Decimal &value) {
    return print_decimal(value.negative, value.weight, value.scale, value.ndigits,
                         [&](int index) { return int{value.digits[index]}; });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
    // In memory of its own, so that the sanitizer sees any byte read beyond it.
    std::vector<char> input(data, data + size);
    Decimal sent;
    if (read_decimal(input.data(), static_cast<int>(size), &sent)) {
        Decimal written;
        std::string text = print(sent);
        CHECK(parse_decimal(text, &written));
        char first[max_stored_decimal];
        char second[max_stored_decimal];
        int stored = store_decimal(sent, first);
        CHECK(stored == store_decimal(written, second));
        CHECK(std::memcmp(first, second, static_cast<std::size_t>(stored)) == 0);
        // A number that fits with so many digits also fits with one more.
        for (int precision = 1; precision < 330; precision++)
            CHECK(!fits(sent, precision, sent.scale) || fits(sent, precision + 1, sent.scale));
    }
    Decimal written;
    if (parse_decimal({input.data(), size}, &written))
        CHECK(print(written) == std::string(input.data(), size));
    return 0;
}
