#include "core/byte_window.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <string>

namespace {

using namespace fastcopy::core;

// A stream that arrives in pieces of at most so many bytes.
struct Stream {
    std::string bytes;
    int piece;
    std::size_t given = 0;
    int reads = 0;
};

int read_some(void *self, char *buffer, int size) {
    auto *stream = static_cast<Stream *>(self);
    stream->reads++;
    std::size_t left = stream->bytes.size() - stream->given;
    std::size_t count = std::min(left, static_cast<std::size_t>(std::min(size, stream->piece)));
    std::memcpy(buffer, stream->bytes.data() + stream->given, count);
    stream->given += count;
    return static_cast<int>(count);
}

class ByteWindowTest : public testing::Test {
  protected:
    char buffer[8];
    Stream stream{"abcdefghijklmnop", 3};
    ByteWindow window{read_some, &stream, buffer, sizeof(buffer), 0, 0, 0};

    std::string next(int size) {
        char *bytes = take(&window, size);
        return bytes != nullptr ? std::string(bytes, static_cast<std::size_t>(size)) : "end";
    }
};

TEST_F(ByteWindowTest, GivesBytesInOrderAcrossRefills) {
    EXPECT_EQ(next(2), "ab");
    EXPECT_EQ(next(5), "cdefg");
    EXPECT_EQ(next(8), "hijklmno");
    EXPECT_EQ(window.taken, 15U);
    EXPECT_TRUE(has_more(&window));
    EXPECT_EQ(next(1), "p");
    EXPECT_FALSE(has_more(&window));
}

TEST_F(ByteWindowTest, DoesNotReadForWhatLiesInTheBuffer) {
    EXPECT_EQ(next(1), "a");
    int reads = stream.reads;
    EXPECT_EQ(next(2), "bc");
    EXPECT_EQ(next(0), "");
    EXPECT_EQ(stream.reads, reads);
}

TEST_F(ByteWindowTest, SaysThatTheStreamEndsBefore) {
    EXPECT_EQ(next(8), "abcdefgh");
    EXPECT_EQ(next(6), "ijklmn");
    EXPECT_EQ(next(3), "end");
}

TEST_F(ByteWindowTest, CopiesMoreThanTheBufferHolds) {
    char target[14];
    EXPECT_EQ(next(1), "a");
    ASSERT_TRUE(take_into(&window, target, sizeof(target)));
    EXPECT_EQ(std::string(target, sizeof(target)), "bcdefghijklmno");
    EXPECT_EQ(window.taken, 15U);
    EXPECT_FALSE(take_into(&window, target, 2));
}

}  // namespace
