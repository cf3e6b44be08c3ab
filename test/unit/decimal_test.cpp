#include "core/decimal.hpp"

#include <gtest/gtest.h>

#include <bit>
#include <string>

#include "hex.hpp"

namespace {

using namespace fastcopy::core;

std::string bytes_of(const std::string &hex) {
    std::string bytes;
    for (std::size_t i = 0; i + 1 < hex.size(); i += 2)
        bytes.push_back(static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16)));
    return bytes;
}

// Without the varlena's header; empty if it is not taken.
std::string stored(const Decimal &value) {
    char target[max_stored_decimal];
    int size = store_decimal(value, target);
    EXPECT_EQ(size, 6 + 2 * value.ndigits);
    return hex_of({target + 4, static_cast<std::size_t>(size) - 4});
}

std::string from_text(const std::string &text) {
    Decimal value;
    return parse_decimal(text, &value) ? stored(value) : "";
}

std::string from_wire(const std::string &hex) {
    std::string bytes = bytes_of(hex);
    Decimal value;
    return read_decimal(bytes.data(), static_cast<int>(bytes.size()), &value) ? stored(value) : "";
}

struct Example {
    const char *text;
    const char *sent;    // numeric_send
    const char *stored;  // in the table, behind the varlena's header; as on little-endian machines
};

// Made by PostgreSQL 15: numeric_send(n), and heap_page_item_attrs of pageinspect.
const Example examples[] = {
    {"0", "0000000000000000", "0080"},
    {"0.00", "0000000000000002", "0081"},
    {"-1", "00010000400000000001", "00a00100"},
    {"12345.6789", "0003000100000004000109291a85", "018201002909851a"},
    {"0.0001", "0001ffff000000040001", "7f820100"},
    {"10000", "00010001000000000001", "01800100"},
    {"-0.50", "0001ffff400000021388", "7fa18813"},
    {"100000000000000000000", "00010005000000000001", "05800100"},
    {"99999999.99", "0003000100000002270f270f26ac", "01810f270f27ac26"},
};

TEST(Decimal, IsStoredAsPostgresDoes) {
    if (std::endian::native != std::endian::little)
        GTEST_SKIP();
    for (const Example &example : examples) {
        EXPECT_EQ(from_text(example.text), example.stored) << example.text;
        EXPECT_EQ(from_wire(example.sent), example.stored) << example.text;
    }
}

TEST(Decimal, SaysNoToWhatIsNotOrdinaryText) {
    for (const char *text :
         {"",    "-",    ".",     "1.", ".5",  "-.5", "01", "00",  "-0",  "-0.0",     "+1",
          "1e5", "1E-5", "1.2.3", "1-", "--1", " 1",  "1 ", "0x1", "NaN", "Infinity", "1,5"})
        EXPECT_EQ(from_text(text), "") << text;
    EXPECT_NE(from_text(std::string(256, '9')), "");
    EXPECT_EQ(from_text(std::string(257, '9')), "");
    EXPECT_NE(from_text("0." + std::string(63, '9')), "");
    EXPECT_EQ(from_text("0." + std::string(64, '9')), "");
    // As many digits as there may be.
    EXPECT_NE(from_text(std::string(256, '9') + "." + std::string(63, '9')), "");
}

TEST(Decimal, SaysNoToWhatIsNotOrdinaryOnTheWire) {
    EXPECT_NE(from_wire("0001000000000000"
                        "0001"),
              "");
    for (const char *sent : {
             "",                        // nothing
             "00000000000000",          // not even a header
             "0001000000000000",        // fewer digits than announced
             "00010000000000000001ff",  // more
             "000100000000000000010001",
             "0000000040000000",      // -0
             "00000000c0000000",      // NaN
             "00000000d0000000",      // Infinity
             "00010000000000002710",  // no digit of base 10000
             "0001000000000000ffff",  // a negative digit
             "0002000100000000"
             "00000001",  // digits to strip, in front
             "0002000000000004"
             "00010000",              // behind
             "0001ffff000000001388",  // decimal places that are not shown
             "0001ffff000000011234",
             "00010000000000400001",  // too many decimal places
             "00010040000000000001",  // too large
             "ffff000000000000",      // a negative number of digits
         })
        EXPECT_EQ(from_wire(sent), "") << sent;
}

TEST(Decimal, FitsItsDeclaration) {
    auto fits_text = [](const char *text, int precision, int scale) {
        Decimal value;
        return parse_decimal(text, &value) && fits(value, precision, scale);
    };
    EXPECT_TRUE(fits_text("9999999999.99", 12, 2));
    EXPECT_FALSE(fits_text("10000000000.00", 12, 2));
    EXPECT_FALSE(fits_text("1.5", 12, 2));    // to be padded
    EXPECT_FALSE(fits_text("1.500", 12, 2));  // to be rounded
    EXPECT_TRUE(fits_text("0.00", 2, 2));
    EXPECT_TRUE(fits_text("-0.99", 2, 2));
    EXPECT_FALSE(fits_text("1.00", 2, 2));
    EXPECT_TRUE(fits_text("0.00099", 2, 5));
    EXPECT_FALSE(fits_text("0.00100", 2, 5));
    EXPECT_TRUE(fits_text("9999", 4, 0));
    EXPECT_FALSE(fits_text("10000", 4, 0));
}

}  // namespace
