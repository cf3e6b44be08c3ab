// Fuzz target: the frame of binary COPY, read through a small window, against a reading of all the bytes at
// once. Header, number of fields, lengths and bytes must be the same, and so must the place where it ends.
#include "core/binary_copy.hpp"

#include <cstring>
#include <optional>
#include <string_view>
#include <vector>

#include "check.hpp"
#include "stream.hpp"

namespace {

using namespace fastcopy::core;

// The bytes that are not read yet.
struct Rest {
    const std::uint8_t *bytes;
    std::size_t size;

    std::optional<std::int64_t> number(std::size_t width) {
        if (size < width)
            return std::nullopt;
        std::int64_t value = bytes[0] < 128 ? 0 : -1;
        for (std::size_t i = 0; i < width; i++)
            value = value * 256 + bytes[i];
        skip(width);
        return value;
    }

    void skip(std::size_t width) {
        bytes += width;
        size -= width;
    }
};

Header expected_header(Rest *rest) {
    constexpr std::string_view signature("PGCOPY\n\377\r\n\0", 11);
    if (rest->size < signature.size() ||
        std::memcmp(rest->bytes, signature.data(), signature.size()) != 0)
        return Header::no_signature;
    rest->skip(signature.size());
    auto flags = rest->number(4);
    if (!flags)
        return Header::no_flags;
    if ((*flags & 0x10000) != 0)
        return Header::with_oids;
    if ((*flags & 0xFFFE0000) != 0)
        return Header::unknown_flags;
    auto extension = rest->number(4);
    if (!extension || *extension < 0)
        return Header::no_length;
    if (rest->size < static_cast<std::size_t>(*extension))
        return Header::short_extension;
    rest->skip(static_cast<std::size_t>(*extension));
    return Header::good;
}

RowStart expected_start(Rest *rest, std::int64_t *nfields) {
    if (rest->size == 0)
        return RowStart::end;
    auto number = rest->number(2);
    if (!number)
        return RowStart::broken;
    *nfields = *number;
    if (*number == -1)
        return rest->size == 0 ? RowStart::end : RowStart::more_at_end;
    return RowStart::row;
}

// Reads a field and its length; false if the bytes end or should end there.
bool read_field(ByteWindow *window, Rest *rest) {
    std::int32_t length = 0;
    auto expected = rest->number(4);
    CHECK(take_length(window, &length) == expected.has_value());
    if (!expected)
        return false;
    CHECK(length == *expected);
    if (length < 0)
        return length == null_field;
    bool complete = static_cast<std::size_t>(length) <= rest->size;
    if (length <= window->capacity) {
        const char *bytes = take(window, length);
        CHECK((bytes != nullptr) == complete);
        if (complete)
            CHECK(std::memcmp(bytes, rest->bytes, static_cast<std::size_t>(length)) == 0);
    } else if (complete) {
        std::vector<char> bytes(static_cast<std::size_t>(length));
        CHECK(take_into(window, bytes.data(), length));
        CHECK(std::memcmp(bytes.data(), rest->bytes, bytes.size()) == 0);
    }
    if (complete)
        rest->skip(static_cast<std::size_t>(length));
    return complete;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
    constexpr int least_capacity = 11;  // of the signature
    if (size == 0)
        return 0;
    std::vector<char> buffer(least_capacity + data[0] % 64U);
    Stream stream{data + 1, size - 1, 0};
    ByteWindow window{read_some, &stream, buffer.data(), static_cast<int>(buffer.size()), 0, 0, 0};
    Rest rest{data + 1, size - 1};

    Header header = take_header(&window);
    CHECK(header == expected_header(&rest));
    if (header != Header::good)
        return 0;
    for (;;) {
        int nfields = 0;
        std::int64_t expected = 0;
        RowStart start = begin_row(&window, &nfields);
        CHECK(start == expected_start(&rest, &expected));
        CHECK(nfields == expected);
        if (start != RowStart::row)
            return 0;
        for (int i = 0; i < nfields; i++) {
            if (!read_field(&window, &rest))
                return 0;
        }
    }
}
