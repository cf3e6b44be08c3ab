#include "core/answer_text.hpp"

namespace fastcopy::core {

namespace {

// Removes the text up to a separator, and the separator, from its front; nothing if there is no
// separator.
std::optional<std::string_view> take_until(std::string_view *text, char separator) {
    std::size_t length = text->find(separator);
    if (length == std::string_view::npos)
        return std::nullopt;
    std::string_view part = text->substr(0, length);
    text->remove_prefix(length + 1);
    return part;
}

// Digits of at most 32 bits.
std::optional<std::uint32_t> parse_hexadecimal(std::string_view text) {
    std::uint32_t number;
    const char *end = text.data() + text.size();
    auto [rest, error] = std::from_chars(text.data(), end, number, 16);
    if (error != std::errc{} || rest != end)
        return std::nullopt;
    return number;
}

}  // namespace

std::optional<std::uint64_t> parse_lsn(std::string_view text) noexcept {
    auto high_text = take_until(&text, '/');
    auto high = high_text ? parse_hexadecimal(*high_text) : std::nullopt;
    auto low = parse_hexadecimal(text);
    if (!high || !low)
        return std::nullopt;
    return std::uint64_t{*high} << 32U | *low;
}

std::optional<SnapshotBounds> parse_snapshot(std::string_view text) noexcept {
    auto xmin_text = take_until(&text, ':');
    auto xmax_text = take_until(&text, ':');
    auto xmin = xmin_text ? parse_number<std::uint64_t>(*xmin_text) : std::nullopt;
    auto xmax = xmax_text ? parse_number<std::uint64_t>(*xmax_text) : std::nullopt;
    if (!xmin || !xmax || *xmin == 0 || *xmax < *xmin)
        return std::nullopt;
    return SnapshotBounds{*xmin, *xmax};
}

}  // namespace fastcopy::core
