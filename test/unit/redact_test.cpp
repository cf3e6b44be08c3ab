#include "core/redact.hpp"

#include <gtest/gtest.h>

#include <array>
#include <string>

namespace {

std::string redacted(std::string_view message) {
    std::array<char, 512> out;
    return {out.data(), fastcopy::core::redact(message, out)};
}

TEST(Redact, BlanksThePieceThatLibpqStumbledOver) {
    EXPECT_EQ(redacted("missing \"=\" after \"sesame\" in connection info string"),
              "missing \"=\" after \"...\" in connection info string");
    EXPECT_EQ(redacted("invalid percent-encoded token: \"open%zzsesame\""),
              "invalid percent-encoded token: \"...\"");
}

TEST(Redact, AQuoteInTheSecretDoesNotEndIt) {
    EXPECT_EQ(redacted("end of string reached in URI: \"postgresql://u:se\"sa\"me@[h\""),
              "end of string reached in URI: \"...\"");
}

TEST(Redact, AnOddNumberOfQuotesHidesAllTheSame) {
    EXPECT_EQ(redacted("stumbled over \"a\"sesame\""), "stumbled over \"...\"");
    EXPECT_EQ(redacted("stumbled over \""), "stumbled over \"...\"");
}

TEST(Redact, ASecretThatLooksHarmlessIsHidden) {
    EXPECT_EQ(redacted("invalid percent-encoded token: \"=\""),
              "invalid percent-encoded token: \"...\"");
    EXPECT_EQ(redacted("invalid percent-encoded token: \"=\"sesame\""),
              "invalid percent-encoded token: \"...\"");
}

TEST(Redact, KeepsWhatHasNoSecret) {
    EXPECT_EQ(redacted("out of memory"), "out of memory");
    EXPECT_EQ(redacted("invalid connection option \"bogus\""),
              "invalid connection option \"bogus\"");
    EXPECT_EQ(redacted(""), "");
    EXPECT_EQ(redacted("missing \"=\" at the end"), "missing \"=\" at the end");
}

TEST(Redact, CutsAtTheEndOfTheBuffer) {
    std::array<char, 4> out;
    EXPECT_EQ(fastcopy::core::redact("missing", out), 4U);
    EXPECT_EQ(fastcopy::core::redact("missing", std::span<char>()), 0U);
}

}  // namespace
