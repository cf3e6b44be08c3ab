/*
 * hex: bytes as tests show and compare them.
 */
#pragma once

#include <string>
#include <string_view>

inline std::string hex_of(std::string_view bytes) {
    std::string hex;
    for (unsigned char c : bytes)
        hex += {"0123456789abcdef"[c / 16U], "0123456789abcdef"[c % 16U]};
    return hex;
}
