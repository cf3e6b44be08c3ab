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
    EXPECT_EQ(
        redacted("IPv6 host address may not be empty in URI: \"postgresql://u:se\"sa\"me@[h\""),
        "IPv6 host address may not be empty in URI: \"...\"");
}

TEST(Redact, AnOddNumberOfQuotesHidesAllTheSame) {
    EXPECT_EQ(redacted("invalid URI query parameter: \"a\"sesame\""),
              "invalid URI query parameter: \"...\"");
    EXPECT_EQ(redacted("invalid URI query parameter: \""), "invalid URI query parameter: \"...\"");
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
    EXPECT_EQ(redacted(""), "...");
    EXPECT_EQ(redacted("missing \"=\" at the end"), "missing \"=\" at the end");
}

TEST(Redact, ShowsNothingOfAMessageItDoesNotKnow) {
    EXPECT_EQ(redacted("ungültiges Prozent-kodiertes Token: »sesame«"), "...");
}

TEST(Redact, CutsAtTheEndOfTheBuffer) {
    std::array<char, 4> out;
    EXPECT_EQ(fastcopy::core::redact("out of memory", out), 4U);
    EXPECT_EQ(fastcopy::core::redact("missing", std::span<char>()), 0U);
}

}  // namespace
