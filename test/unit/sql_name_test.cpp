#include "core/sql_name.hpp"

#include <gtest/gtest.h>

#include <string>

namespace {

using fastcopy::core::is_name;
using fastcopy::core::is_operator_name;
using fastcopy::core::is_type_name;

TEST(SqlName, TakesWhatQuoteIdentMakes) {
    EXPECT_TRUE(is_name("items"));
    EXPECT_TRUE(is_name("public.items_2"));
    EXPECT_TRUE(is_name("_a.\"Some Thing\""));
    EXPECT_TRUE(is_name("\"a\"\"b; DROP TABLE c --\".\"\xc3\xa4\""));
    EXPECT_TRUE(is_name("\"\"\"\""));
}

TEST(SqlName, TakesNothingElse) {
    for (const char *text : {"",
                             ".",
                             "a.",
                             ".a",
                             "a..b",
                             "Items",
                             "a b",
                             "a;b",
                             "a--",
                             "a/*",
                             "a(",
                             "a'",
                             "$1",
                             "\"a",
                             "a\"",
                             "\"a\"b",
                             "\"a\"\"",
                             "\"a\" \"b\"",
                             "public.items) TO STDOUT; SELECT (1",
                             "a\nb",
                             "\xc3\xa4"})
        EXPECT_FALSE(is_name(text)) << text;
    EXPECT_FALSE(is_name(std::string("\"a\0b\"", 5)));
}

TEST(SqlName, HasALongestLength) {
    EXPECT_TRUE(is_name(std::string(1024, 'x')));
    EXPECT_FALSE(is_name(std::string(1025, 'x')));
    EXPECT_FALSE(is_type_name(std::string(1025, 'x')));
}

TEST(SqlName, TypesMayHaveWordsAndDimensions) {
    for (const char *text : {"integer", "timestamp without time zone", "character varying[]",
                             "\"char\"", "public.\"My Type\"[]"})
        EXPECT_TRUE(is_type_name(text)) << text;
    for (const char *text :
         {"", "[]", "integer[", "integer)", "a  b", " a", "x'; --", "a.b c", "numeric(10,2)"})
        EXPECT_FALSE(is_type_name(text)) << text;
}

TEST(SqlName, OperatorsAreASymbolInASchema) {
    for (const char *text : {"OPERATOR(pg_catalog.<)", "OPERATOR(\"S)\".>=)", "OPERATOR(a.~<~)"})
        EXPECT_TRUE(is_operator_name(text)) << text;
    for (const char *text : {"", "<", "OPERATOR(", "OPERATOR()", "OPERATOR(<)", "OPERATOR(a.)",
                             "OPERATOR(a.<", "OPERATOR(a.--)", "OPERATOR(a.*/*)", "OPERATOR(a.b)",
                             "OPERATOR(a.b.<)", "OPERATOR(a.<) 1 OR (1=1)"})
        EXPECT_FALSE(is_operator_name(text)) << text;
}

}  // namespace
