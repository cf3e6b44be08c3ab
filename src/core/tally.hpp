/*
 * tally: the sum of many 64-bit hashes, kept in 128 bits.
 *
 * A sum does not depend on the order of its terms, and distinguishes two equal rows from one, so it
 * is a checksum of an unordered set of rows. It is taken modulo 2^128: more than any table can
 * fill. Servers send it as a decimal number of any sign. Two words instead of one integer, so that
 * it can stand anywhere in shared memory.
 */
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace fastcopy::core {

struct Sum {
    std::uint64_t high;
    std::uint64_t low;

    bool operator==(const Sum &) const = default;
};

// The sum of both, modulo 2^128.
Sum add(Sum a, Sum b) noexcept;

// Reads an optional "-" and 1 to 39 decimal digits, and nothing else; false if it is not that.
bool parse_sum(std::string_view text, Sum *sum) noexcept;

constexpr std::size_t sum_digits = 32;

// Writes 32 hexadecimal digits, without a NUL.
void format_sum(Sum sum, std::span<char, sum_digits> out) noexcept;

}  // namespace fastcopy::core
