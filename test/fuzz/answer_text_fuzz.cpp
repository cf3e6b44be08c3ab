// Fuzz target: what is read from a text and written again must be the same text, except for leading
// zeroes and the case of hexadecimal digits. So nothing is read that is not there, and nothing is
// skipped.
#include "core/answer_text.hpp"

#include <cctype>
#include <cinttypes>
#include <cstdio>
#include <string>
#include <string_view>

#include "check.hpp"
#include "core/tally.hpp"

namespace {

using namespace fastcopy::core;

// A number's text without leading zeroes, in upper case; "-0" is "0".
std::string plain(std::string_view text) {
    bool negative = text.starts_with('-');
    if (negative)
        text.remove_prefix(1);
    while (text.size() > 1 && text.front() == '0')
        text.remove_prefix(1);
    std::string result(negative && text != "0" ? "-" : "");
    for (char c : text)
        result += static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    return result;
}

template <typename T>
void check_number(std::string_view text) {
    auto number = parse_number<T>(text);
    if (number)
        CHECK(std::to_string(*number) == plain(text));
}

void check_lsn(std::string_view text) {
    auto lsn = parse_lsn(text);
    if (!lsn)
        return;
    std::size_t slash = text.find('/');
    CHECK(slash != std::string_view::npos);
    char again[32];
    std::snprintf(again, sizeof(again), "%" PRIX64 "/%" PRIX64, *lsn >> 32U, *lsn & 0xFFFFFFFF);
    CHECK(plain(text.substr(0, slash)) + '/' + plain(text.substr(slash + 1)) == again);
}

void check_snapshot(std::string_view text) {
    auto bounds = parse_snapshot(text);
    if (!bounds)
        return;
    CHECK(bounds->xmin > 0 && bounds->xmin <= bounds->xmax);
    std::size_t first = text.find(':');
    CHECK(plain(text.substr(0, first)) == std::to_string(bounds->xmin));
    text.remove_prefix(first + 1);
    CHECK(plain(text.substr(0, text.find(':'))) == std::to_string(bounds->xmax));
}

void check_sum(std::string_view text) {
    Sum sum{};
    if (!parse_sum(text, &sum))
        return;
    bool negative = text.starts_with('-');
    std::string opposite = negative ? std::string(text.substr(1)) : '-' + std::string(text);
    CHECK(opposite.find_first_not_of("0123456789", negative ? 0 : 1) == std::string::npos);
    Sum other{};
    CHECK(parse_sum(opposite, &other));
    CHECK(add(sum, other) == Sum{});
    if (auto number = parse_number<std::int64_t>(text))
        CHECK(sum.low == static_cast<std::uint64_t>(*number));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
    // In memory of its own, so that the sanitizer sees any byte read beyond it.
    std::string text(size, '\0');
    for (std::size_t i = 0; i < size; i++)
        text[i] = static_cast<char>(data[i]);
    check_number<std::int64_t>(text);
    check_number<std::uint64_t>(text);
    check_number<std::int32_t>(text);
    check_lsn(text);
    check_snapshot(text);
    check_sum(text);
    return 0;
}
