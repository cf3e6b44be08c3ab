// The text shown of libpq's messages does not depend on the piece that they quote: whatever the
// characters of the password, quotes and equals signs too, the same text is shown for another
// password.
//
// An input is used as a message, and as the piece quoted by each of libpq's messages.
#include <string>
#include <vector>

#include "check.hpp"
#include "core/redact.hpp"

using fastcopy::core::redact;

namespace {

struct Complaint {
    std::string_view before, after;
    std::string_view never;  // bytes that libpq cannot have left in the piece
};

// From libpq's fe-connect.c.
constexpr Complaint complaints[] = {
    {"missing \"=\" after \"", "\" in connection info string", "= \t\n\v\f\r"},
    {"invalid percent-encoded token: \"", "\"", ""},
    {"forbidden value %00 in percent-encoded value: \"", "\"", ""},
    {"missing key/value separator \"=\" in URI query parameter: \"", "\"", "=&"},
    {"extra key/value separator \"=\" in URI query parameter: \"", "\"", "=&"},
    {"end of string reached when looking for matching \"]\" in IPv6 host address in URI: \"", "\"",
     ""},
    {"IPv6 host address may not be empty in URI: \"", "\"", ""},
    {"unexpected character \"x\" in position 7 in URI (expected \":\" or \"/\"): \"", "\"", ""},
    {"invalid URI query parameter: \"", "\"", "&"},
};

// On the heap and of exactly that size, so that AddressSanitizer sees both ends.
std::string shown(std::string_view message, std::size_t size) {
    std::vector<char> copy(message.begin(), message.end());
    std::vector<char> buffer(size);
    std::size_t length = redact({copy.data(), copy.size()}, buffer);
    CHECK(length <= size);
    return {buffer.data(), length};
}

std::string shown(std::string_view message) {
    std::string enough = shown(message, message.size() + 4);
    CHECK(enough == shown(message, 2 * message.size() + 64));
    return enough;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *bytes, std::size_t size) {
    std::string_view input(reinterpret_cast<const char *>(bytes), size);

    std::string whole = shown(input);
    for (std::size_t room : {std::size_t{0}, size / 2, size, size + 3})
        CHECK(whole.starts_with(shown(input, room)));

    for (const Complaint &complaint : complaints) {
        if (input.find_first_of(complaint.never) != input.npos)
            continue;
        auto complain = [&](std::string_view piece) {
            return std::string(complaint.before).append(piece).append(complaint.after);
        };
        CHECK(shown(complain(input)) == shown(complain("other")));
    }
    return 0;
}
