#include "core/redact.hpp"

#include <algorithm>

namespace fastcopy::core {

namespace {

constexpr std::string_view unknown_option = "invalid connection option";
constexpr std::string_view with_harmless_quotes[] = {
    "missing \"=\"", "missing key/value separator \"=\"", "extra key/value separator \"=\""};
// The other messages that may quote a part of the string. libpq translates its messages, with the
// quotes of each language: an unknown message is not shown.
constexpr std::string_view with_quotes[] = {"invalid percent-encoded token: \"",
                                            "forbidden value %00 in percent-encoded value: \"",
                                            "end of string reached when looking for matching \"",
                                            "IPv6 host address may not be empty in URI: \"",
                                            "unexpected character \"",
                                            "invalid URI query parameter: \""};
constexpr std::string_view without_quotes[] = {
    "out of memory", "unterminated quoted string in connection info string"};
constexpr std::string_view dots = "...";

// Appends text at `length` as far as it fits; returns the new length.
std::size_t append(std::span<char> out, std::size_t length, std::string_view text) noexcept {
    std::size_t fits = std::min(text.size(), out.size() - length);
    std::copy_n(text.begin(), fits, out.begin() + static_cast<std::ptrdiff_t>(length));
    return length + fits;
}

}  // namespace

std::size_t redact(std::string_view message, std::span<char> out) noexcept {
    if (message.starts_with(unknown_option))
        return append(out, 0, message);
    for (std::string_view known : without_quotes) {
        if (message == known)
            return append(out, 0, message);
    }
    std::size_t begin = 0;
    bool is_known = false;
    for (std::string_view known : with_quotes)
        is_known = is_known || message.starts_with(known);
    for (std::string_view harmless : with_harmless_quotes) {
        if (message.starts_with(harmless)) {
            is_known = true;
            begin = harmless.size();
        }
    }
    if (!is_known)
        return append(out, 0, dots);
    std::size_t open = message.find('"', begin);
    if (open == message.npos)
        return append(out, 0, message);
    std::size_t length = append(out, 0, message.substr(0, open + 1));
    length = append(out, length, dots);
    return append(out, length, message.substr(message.rfind('"')));
}

}  // namespace fastcopy::core
