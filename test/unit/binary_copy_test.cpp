#include "core/binary_copy.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <string>

namespace fastcopy::core {
namespace {

using namespace std::string_literals;

const std::string signature = "PGCOPY\n\377\r\n\0"s;
const std::string nothing = "\0\0\0\0"s;  // no flags, or no extension

int read_rest(void *self, char *buffer, int size) {
    auto *rest = static_cast<std::string *>(self);
    std::size_t count = std::min(rest->size(), static_cast<std::size_t>(size));
    std::memcpy(buffer, rest->data(), count);
    rest->erase(0, count);
    return static_cast<int>(count);
}

// Bytes that are read through a window of 16.
struct Input {
    std::string bytes;
    char buffer[16];
    ByteWindow window{read_rest, &bytes, buffer, sizeof(buffer), 0, 0, 0};

    explicit Input(std::string_view text) : bytes(text) {}
};

Header header_of(std::string_view bytes) {
    Input input(bytes);
    return take_header(&input.window);
}

RowStart start_of(std::string_view bytes) {
    Input input(bytes);
    int nfields;
    return begin_row(&input.window, &nfields);
}

TEST(BinaryCopy, TakesHeaders) {
    EXPECT_EQ(header_of(signature + nothing + nothing), Header::good);
    EXPECT_EQ(header_of(signature + "\0\0\377\377"s + nothing), Header::good);
    EXPECT_EQ(header_of(signature + nothing + "\0\0\0\25"s + std::string(21, 'x')), Header::good);
}

TEST(BinaryCopy, TellsWhatIsWrongWithHeaders) {
    EXPECT_EQ(header_of(""), Header::no_signature);
    EXPECT_EQ(header_of("PGCOPY\n\377\r\n"), Header::no_signature);
    EXPECT_EQ(header_of("1\tone\n2\ttwo\n"), Header::no_signature);
    EXPECT_EQ(header_of(signature + "\0\0\0"s), Header::no_flags);
    EXPECT_EQ(header_of(signature + "\0\1\0\0"s + nothing), Header::with_oids);
    EXPECT_EQ(header_of(signature + "\0\2\0\0"s + nothing), Header::unknown_flags);
    EXPECT_EQ(header_of(signature + nothing), Header::no_length);
    EXPECT_EQ(header_of(signature + nothing + "\377\377\377\377"), Header::no_length);
    EXPECT_EQ(header_of(signature + nothing + "\0\0\0\25"s + std::string(20, 'x')),
              Header::short_extension);
    EXPECT_EQ(header_of(signature + nothing + "\177\377\377\377x"), Header::short_extension);
}

TEST(BinaryCopy, TellsWhereRowsEnd) {
    EXPECT_EQ(start_of(""), RowStart::end);
    EXPECT_EQ(start_of("\377\377"), RowStart::end);
    EXPECT_EQ(start_of("\377\377x"), RowStart::more_at_end);
    EXPECT_EQ(start_of("\377"), RowStart::broken);
    EXPECT_EQ(start_of("\0\2"s), RowStart::row);
    EXPECT_EQ(start_of("\377\376"), RowStart::row);
}

TEST(BinaryCopy, TellsNumbersAndLengthsAsSent) {
    Input input("\0\2\377\377\377\377\377\377\377\376\0\1\2"s);
    int nfields = 0;
    EXPECT_EQ(begin_row(&input.window, &nfields), RowStart::row);
    EXPECT_EQ(nfields, 2);
    std::int32_t length = 0;
    EXPECT_TRUE(take_length(&input.window, &length));
    EXPECT_EQ(length, null_field);
    EXPECT_TRUE(take_length(&input.window, &length));
    EXPECT_EQ(length, -2);
    EXPECT_FALSE(take_length(&input.window, &length));
}

TEST(NetworkOrder, PutsTheMostSignificantByteFirst) {
    const char bytes[] = "\201\2\3\4\5\6\7\10";
    EXPECT_EQ(load<std::int8_t>(bytes), -127);
    EXPECT_EQ(load<std::int16_t>(bytes), -0x7EFE);
    EXPECT_EQ(load<std::uint16_t>(bytes), 0x8102);
    EXPECT_EQ(load<std::uint32_t>(bytes + 1), 0x02030405U);
    EXPECT_EQ(load<std::int64_t>(bytes), -0x7EFDFCFBFAF9F8F8);
}

}  // namespace
}  // namespace fastcopy::core
