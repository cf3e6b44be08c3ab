#include "core/name_pattern.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace {

using fastcopy::core::NamePattern;
using fastcopy::core::regex_size;
using fastcopy::core::to_regexes;

// The expressions of a pattern as "schema table", or "table", or "invalid".
std::string regexes(const std::string &pattern) {
    std::vector<char> schema(regex_size(pattern.size()));
    std::vector<char> table(regex_size(pattern.size()));
    switch (to_regexes(pattern, schema, table)) {
        case NamePattern::invalid:
            return "invalid";
        case NamePattern::table:
            return table.data();
        case NamePattern::qualified:
            return std::string(schema.data()) + " " + table.data();
    }
    return "unknown";
}

TEST(NamePattern, FoldsAndAnchors) {
    EXPECT_EQ(regexes("Orders"), "^(orders)$");
    EXPECT_EQ(regexes("Shop.Orders"), "^(shop)$ ^(orders)$");
}

TEST(NamePattern, HasWildcards) {
    EXPECT_EQ(regexes("order*"), "^(order.*)$");
    EXPECT_EQ(regexes("s?.*"), "^(s.)$ ^(.*)$");
    EXPECT_EQ(regexes("(a|b)_[0-9]+"), "^((a|b)_[0-9]+)$");
}

TEST(NamePattern, TakesWhatIsQuotedAsItIs) {
    EXPECT_EQ(regexes("\"Order*.x\""), "^(Order\\*\\.x)$");
    EXPECT_EQ(regexes("\"a\"\"b\""), "^(a\"b)$");
    EXPECT_EQ(regexes("\"S\".t*"), "^(S)$ ^(t.*)$");
    EXPECT_EQ(regexes("a$b"), "^(a\\$b)$");
    EXPECT_EQ(regexes("\"a$b\""), "^(a\\$b)$");
    EXPECT_EQ(regexes("a[]"), "^(a\\[])$");
    EXPECT_EQ(regexes("\xc3\x84x"), "^(\xc3\x84x)$");
}

TEST(NamePattern, RejectsWhatIsNoName) {
    for (const char *pattern : {"", ".", "a.", ".a", "a.b.c", "\"a", "\"\"", "a.\"\""})
        EXPECT_EQ(regexes(pattern), "invalid") << pattern;
}

TEST(NamePattern, FitsItsBuffers) {
    std::string worst(100, '$');
    EXPECT_EQ(regexes(worst).size(), regex_size(worst.size()) - 1);
    EXPECT_EQ(regexes(std::string(100, '*')).size(), regex_size(100) - 1);
}

}  // namespace
