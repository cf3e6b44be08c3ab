/*
 * decimal: numbers of type numeric, from what is sent or written to what is stored.
 *
 * PostgreSQL keeps a numeric as digits of base 10000 behind a short header. Its receive function
 * goes from the sent form, which has the same digits, to an internal one, obeys the type modifier
 * and goes on to the stored one. For a number that is stored as it was sent that is a copy, and so
 * are nearly all numbers.
 *
 * Only those numbers are taken here: finite ones whose stored form has the short header (at most 63
 * decimal places, less than 10^256), without digits to strip, to round or to hide. For any other,
 * and for anything that is not a number, the answer is no, and PostgreSQL's own function says what
 * it is.
 *
 * The stored form is that of utils/adt/numeric.c, which cannot change without breaking pg_upgrade.
 */
#pragma once

#include <cstdint>
#include <string_view>

namespace fastcopy::core {

struct Decimal {
    static constexpr int max_digits = 80;  // 64 before the point, 16 behind it

    bool negative;
    int weight;   // the first digit counts 10000^weight
    int scale;    // decimal places that are shown
    int ndigits;  // none is zero; else neither the first nor the last is 0
    std::int16_t digits[max_digits];
};

constexpr int max_stored_decimal = 4 + 2 + 2 * Decimal::max_digits;  // bytes

// A number as numeric_send sends it.
bool read_decimal(const char *bytes, int size, Decimal *value) noexcept;

// A number as JSON writes it, without an exponent.
bool parse_decimal(std::string_view text, Decimal *value) noexcept;

// Whether numeric(precision, scale) stores the number unchanged.
bool fits(const Decimal &value, int precision, int scale) noexcept;

// The stored form, a varlena with a header of four bytes; returns its size, at most
// max_stored_decimal.
int store_decimal(const Decimal &value, char *target) noexcept;

// The header of a varlena of so many bytes, which include these four.
std::uint32_t varlena_header(int size) noexcept;

}  // namespace fastcopy::core
