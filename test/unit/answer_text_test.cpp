#include "core/answer_text.hpp"

#include <gtest/gtest.h>

namespace fastcopy::core {
namespace {

TEST(AnswerText, ReadsNumbersOfTheirTypesRange) {
    EXPECT_EQ(parse_number<std::int64_t>("0"), 0);
    EXPECT_EQ(parse_number<std::int64_t>("-9223372036854775808"), INT64_MIN);
    EXPECT_EQ(parse_number<std::int64_t>("9223372036854775807"), INT64_MAX);
    EXPECT_EQ(parse_number<std::int64_t>("9223372036854775808"), std::nullopt);
    EXPECT_EQ(parse_number<std::uint64_t>("18446744073709551615"), UINT64_MAX);
    EXPECT_EQ(parse_number<std::uint64_t>("18446744073709551616"), std::nullopt);
    EXPECT_EQ(parse_number<std::uint64_t>("-1"), std::nullopt);
}

TEST(AnswerText, ReadsNothingElseAsANumber) {
    for (std::string_view text : {"", "-", "+1", " 1", "1 ", "1.0", "1e3", "0x1", "--1", "one"})
        EXPECT_EQ(parse_number<std::int64_t>(text), std::nullopt) << text;
}

TEST(AnswerText, ReadsPositions) {
    EXPECT_EQ(parse_lsn("0/0"), 0U);
    EXPECT_EQ(parse_lsn("16/B374D848"), 0x16B374D848U);
    EXPECT_EQ(parse_lsn("ffffffff/FFFFFFFF"), UINT64_MAX);
    for (std::string_view text : {"", "/", "1/", "/1", "1", "1/2/3", "1/ 2", "1/2 ", "-1/2", "1/-2",
                                  "0x1/2", "100000000/0", "0/100000000", "1/G"})
        EXPECT_EQ(parse_lsn(text), std::nullopt) << text;
}

TEST(AnswerText, ReadsSnapshots) {
    for (std::string_view text : {"10:20:", "10:20:10,14,15"}) {
        auto bounds = parse_snapshot(text);
        ASSERT_TRUE(bounds) << text;
        EXPECT_EQ(bounds->xmin, 10U);
        EXPECT_EQ(bounds->xmax, 20U);
    }
    for (std::string_view text : {"", ":", "::", "10", "10:20", "20:10:", "0:1:", "-1:1:", "10:x:",
                                  "10::", " 10:20:", "18446744073709551616:18446744073709551616:"})
        EXPECT_FALSE(parse_snapshot(text)) << text;
}

}  // namespace
}  // namespace fastcopy::core
