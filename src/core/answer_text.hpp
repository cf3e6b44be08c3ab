/*
 * answer_text: numbers and positions that a server sends as text.
 *
 * PostgreSQL writes each of these in one form; any other text is rejected. Nothing is skipped,
 * nothing may follow, and a number too large for its type is rejected, where strtol() and scanf()
 * would return some value.
 */
#pragma once

#include <charconv>
#include <concepts>
#include <cstdint>
#include <optional>
#include <string_view>

namespace fastcopy::core {

// A decimal number with an optional "-".
template <std::integral T>
std::optional<T> parse_number(std::string_view text) noexcept {
    T number;
    const char *end = text.data() + text.size();
    auto [rest, error] = std::from_chars(text.data(), end, number);
    if (error != std::errc{} || rest != end)
        return std::nullopt;
    return number;
}

// A pg_lsn, such as 16/B374D848: a position in the WAL, in bytes.
std::optional<std::uint64_t> parse_lsn(std::string_view text) noexcept;

// The bounds of a pg_snapshot or txid_snapshot, such as 10:20:10,14,15: transaction ids with their
// epochs. All below xmin had ended, none at or above xmax had begun.
struct SnapshotBounds {
    std::uint64_t xmin;  // from 1 to xmax
    std::uint64_t xmax;
};

std::optional<SnapshotBounds> parse_snapshot(std::string_view text) noexcept;

}  // namespace fastcopy::core
