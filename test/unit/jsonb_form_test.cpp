#include "core/jsonb_form.hpp"

#include <gtest/gtest.h>

#include <bit>
#include <cstdio>
#include <string>
#include <vector>

#include "hex.hpp"

namespace {

using namespace fastcopy::core;

struct Desk {
    std::vector<JsonbNode> nodes;
    std::vector<char> bytes;

    explicit Desk(int max_nodes = 1000, int capacity = 10000)
        : nodes(static_cast<std::size_t>(max_nodes)), bytes(static_cast<std::size_t>(capacity)) {}

    // The stored form without the varlena's header, in hexadecimal; empty if it is not made.
    std::string form(std::string_view text) {
        JsonbDesk desk{nodes.data(), static_cast<int>(nodes.size()), bytes.data(),
                       static_cast<int>(bytes.size())};
        int size = form_jsonb(text, desk);
        return size == 0 ? "" : hex_of({bytes.data() + 4, static_cast<std::size_t>(size) - 4});
    }
};

std::string form(std::string_view text) {
    return Desk().form(text);
}

// Made by PostgreSQL 15, on a little-endian machine: heap_page_item_attrs of pageinspect, from a column with
// storage PLAIN.
TEST(JsonbForm, IsWhatPostgresStores) {
    if (std::endian::native != std::endian::little)
        GTEST_SKIP();
    EXPECT_EQ(form("null"), "01000050000000c0");
    EXPECT_EQ(form(R"("a\"b")"), "0100005003000080612262");
    EXPECT_EQ(form("-12.50"), "010000500a0000902800000000a10c008813");
    EXPECT_EQ(form("[]"), "00000040");
    EXPECT_EQ(form("{}"), "00000020");
    EXPECT_EQ(
        form(R"({"a": 1, "bc": [true, false, null, {"d": ""}], "xyz": "z"})"),
        "030000200100008002000000030000000a000010210000500100000061626378797a0000200000000080010004"
        "000040000000b000000020000000400d000050010000200100008000000000647a");
}

// Every 32nd entry has an offset.
TEST(JsonbForm, KnowsWhichEntriesHaveOffsets) {
    if (std::endian::native != std::endian::little)
        GTEST_SKIP();
    std::string text = "[0";
    std::string entries =
        "22000040"
        "06000090";
    std::string values = "180000000080";
    for (int i = 1; i < 34; i++) {
        text += ", " + std::to_string(i);
        // The first has two bytes of padding.
        entries += i == 1 ? "0a000010" : i == 32 ? "08010090" : "08000010";
        char digit[8];
        std::snprintf(digit, sizeof(digit), "%02x00", static_cast<unsigned>(i));
        values += std::string(i == 1 ? "0000" : "") + "200000000080" + digit;
    }
    EXPECT_EQ(form(text + "]"), entries + values);
}

TEST(JsonbForm, SaysNoToJsonThatJsonbIsNotPrintedAs) {
    for (const char *text : {R"({"a":1})",
                             R"({"a": 1,"b": 2})",
                             R"({ "a": 1})",
                             R"({"a": 1 })",
                             " 1",
                             "1 ",
                             "[1,2]",
                             "[ ]",
                             "{ }",
                             R"({"b": 1, "a": 2})",
                             R"({"bb": 1, "a": 2})",
                             R"({"a": 1, "a": 2})",
                             R"({"a\n": 1})",
                             R"("\u0041")",
                             R"("\/")",
                             "1e5",
                             "-0",
                             "1.",
                             "01",
                             "+1",
                             "True",
                             "nul",
                             "nulL"})
        EXPECT_EQ(form(text), "") << text;
}

TEST(JsonbForm, SaysNoToWhatIsNotJson) {
    for (const char *text : {"",
                             "[",
                             "]",
                             "{",
                             "}",
                             "[1",
                             "[1, ",
                             "[1, ]",
                             "[, 1]",
                             R"({"a"})",
                             R"({"a": })",
                             R"({"a": 1)",
                             R"({"a": 1, )",
                             R"({"a": 1, })",
                             R"({a: 1})",
                             R"({1: 1})",
                             R"(")",
                             R"("a)",
                             R"("\)",
                             R"("\")",
                             R"("\x")",
                             "\"\n\"",
                             "nullnull",
                             "1 2",
                             "[1 2]",
                             "-",
                             "--1",
                             "1-",
                             "1.2.3",
                             "'a'",
                             "\x01",
                             "1, 2"})
        EXPECT_EQ(form(text), "") << text;
    EXPECT_EQ(form(std::string_view("\"\0\"", 3)), "");
    EXPECT_EQ(form(std::string_view("1\0", 2)), "");
}

TEST(JsonbForm, EndsWithinTheTextAndTheDesk) {
    std::string text = R"({"a": [1, -2.5, "x\ty"], "bc": {"d": null, "e": [[], {}]}, "def": true})";
    for (std::size_t size = 0; size < text.size(); size++)
        // In memory of its own, so that the sanitizer sees any byte read beyond it.
        EXPECT_EQ(form(std::string(text, 0, size)), "") << size;
    std::string whole = form(text);
    ASSERT_NE(whole, "");
    int capacity = 0;
    while (Desk(20, capacity).form(text).empty())
        ASSERT_LT(capacity++, 1000);
    EXPECT_GE(capacity, static_cast<int>(whole.size()) / 2 + 4);
    EXPECT_EQ(Desk(20, capacity).form(text), whole);
    int max_nodes = 0;
    while (Desk(max_nodes).form(text).empty())
        ASSERT_LT(max_nodes++, 1000);
    EXPECT_EQ(max_nodes, 16);
}

TEST(JsonbForm, GoesNoDeeperThanItsStackAllows) {
    auto nested = [](std::size_t depth) {
        return std::string(depth, '[') + std::string(depth, ']');
    };
    EXPECT_NE(form(nested(30)), "");
    EXPECT_EQ(form(nested(100)), "");
    EXPECT_EQ(form(std::string(5000, '[')), "");
}

}  // namespace
