#include "core/tally.hpp"

namespace fastcopy::core {

namespace {

__extension__ typedef unsigned __int128 Wide;

constexpr std::size_t most_decimal_digits = 39;

Wide widen(Sum sum) noexcept {
    return static_cast<Wide>(sum.high) << 64 | sum.low;
}

Sum narrow(Wide wide) noexcept {
    return Sum{static_cast<std::uint64_t>(wide >> 64), static_cast<std::uint64_t>(wide)};
}

}  // namespace

Sum add(Sum a, Sum b) noexcept {
    return narrow(widen(a) + widen(b));
}

bool parse_sum(std::string_view text, Sum *sum) noexcept {
    bool negative = !text.empty() && text.front() == '-';
    if (negative)
        text.remove_prefix(1);
    if (text.empty() || text.size() > most_decimal_digits)
        return false;
    Wide value = 0;
    for (char c : text) {
        if (c < '0' || c > '9')
            return false;
        value = value * 10 + static_cast<unsigned>(c - '0');
    }
    *sum = narrow(negative ? -value : value);
    return true;
}

void format_sum(Sum sum, std::span<char, sum_digits> out) noexcept {
    Wide value = widen(sum);
    for (std::size_t i = sum_digits; i > 0; i--) {
        out[i - 1] = "0123456789abcdef"[static_cast<unsigned>(value) & 15];
        value >>= 4;
    }
}

}  // namespace fastcopy::core
