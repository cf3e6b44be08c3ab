/*
 * print_decimal: a number from digits of base 10000, as PostgreSQL prints it.
 */
#pragma once

#include <algorithm>
#include <string>

#include "check.hpp"

// `digit_at` returns the digit of an index from 0 to ndigits - 1. Neither the first nor the last
// may be 0.
template <typename DigitAt>
std::string print_decimal(bool negative, int weight, int scale, int ndigits, DigitAt digit_at) {
    auto decimals = [&](int index) {
        int digit = index >= 0 && index < ndigits ? digit_at(index) : 0;
        CHECK(digit >= 0 && digit < 10000);
        return std::to_string(10000 + digit).substr(1);
    };
    CHECK(ndigits == 0 || (digit_at(0) != 0 && digit_at(ndigits - 1) != 0));
    std::string whole;
    for (int i = 0; i <= weight; i++)
        whole += decimals(i);
    whole.erase(0, std::min(whole.find_first_not_of('0'), whole.size()));
    std::string places;
    for (int i = weight + 1; static_cast<int>(places.size()) < scale; i++)
        places += decimals(i);
    std::string text = negative ? "-" : "";
    text += whole.empty() ? "0" : whole;
    return scale > 0 ? text + '.' + places.substr(0, static_cast<std::size_t>(scale)) : text;
}
