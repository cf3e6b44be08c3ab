/*
 * network_order: integers from bytes that came over the wire, the most significant first, at any
 * address.
 */
#pragma once

#include <bit>
#include <concepts>
#include <cstdint>
#include <cstring>

namespace fastcopy::core {

template <std::integral T>
T load(const char *bytes) noexcept {
    T value;
    std::memcpy(&value, bytes, sizeof(T));
    if constexpr (std::endian::native == std::endian::big || sizeof(T) == 1)
        return value;
    else if constexpr (sizeof(T) == 2)
        return static_cast<T>(__builtin_bswap16(static_cast<std::uint16_t>(value)));
    else if constexpr (sizeof(T) == 4)
        return static_cast<T>(__builtin_bswap32(static_cast<std::uint32_t>(value)));
    else
        return static_cast<T>(__builtin_bswap64(static_cast<std::uint64_t>(value)));
}

}  // namespace fastcopy::core
