#include "core/tally.hpp"

#include <gtest/gtest.h>

#include <array>
#include <string>

namespace fastcopy::core {
namespace {

Sum parsed(std::string_view text) {
    Sum sum{~std::uint64_t{0}, ~std::uint64_t{0}};
    EXPECT_TRUE(parse_sum(text, &sum)) << text;
    return sum;
}

std::string hex(Sum sum) {
    std::array<char, sum_digits> out;
    format_sum(sum, out);
    return std::string(out.data(), out.size());
}

TEST(Tally, ReadsDecimalNumbers) {
    EXPECT_EQ(parsed("0"), (Sum{0, 0}));
    EXPECT_EQ(parsed("-0"), (Sum{0, 0}));
    EXPECT_EQ(parsed("18446744073709551615"), (Sum{0, ~std::uint64_t{0}}));
    EXPECT_EQ(parsed("18446744073709551616"), (Sum{1, 0}));
    EXPECT_EQ(parsed("-1"), (Sum{~std::uint64_t{0}, ~std::uint64_t{0}}));
    EXPECT_EQ(parsed("-170141183460469231731687303715884105728"), (Sum{std::uint64_t{1} << 63, 0}));
}

TEST(Tally, ReadsNothingElse) {
    for (std::string_view text : {"", "-", "--1", "+1", " 1", "1 ", "1.0", "1e3", "NaN", "0x1",
                                  "1000000000000000000000000000000000000000"}) {
        Sum sum{};
        EXPECT_FALSE(parse_sum(text, &sum)) << text;
    }
}

TEST(Tally, AddsInAnyOrder) {
    Sum a = parsed("-9223372036854775808"), b = parsed("9223372036854775807"), c = parsed("17");
    EXPECT_EQ(add(add(a, b), c), add(add(c, a), b));
    EXPECT_EQ(add(add(a, b), c), parsed("16"));
    EXPECT_EQ(add(parsed("18446744073709551615"), parsed("1")), (Sum{1, 0}));
    EXPECT_EQ(add(parsed("-1"), parsed("1")), (Sum{0, 0}));
}

TEST(Tally, TellsTwoRowsFromOneAndFromNone) {
    Sum row = parsed("-4611686018427387905");
    EXPECT_NE(add(row, row), row);
    EXPECT_NE(add(row, row), (Sum{0, 0}));
}

TEST(Tally, WritesHexadecimal) {
    EXPECT_EQ(hex(Sum{0, 0}), std::string(32, '0'));
    EXPECT_EQ(hex(Sum{1, 0xabcdef}), "00000000000000010000000000abcdef");
    EXPECT_EQ(hex(parsed("-1")), std::string(32, 'f'));
}

}  // namespace
}  // namespace fastcopy::core
