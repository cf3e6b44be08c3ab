#include "core/decimal.hpp"

#include <bit>
#include <cstring>

#include "core/network_order.hpp"

namespace fastcopy::core {

namespace {

constexpr int decimals = 4;  // of a digit
constexpr int max_weight = 63;
constexpr int min_weight = -64;
constexpr int max_scale = 63;

constexpr int power_of_ten[] = {1, 10, 100, 1000, 10000};

bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

// Whether decimal places that are not shown are all 0.
bool shows_all(const Decimal &value) {
    int hidden = (value.ndigits - 1 - value.weight) * decimals - value.scale;
    return hidden <= 0 ||
           (hidden < decimals && value.digits[value.ndigits - 1] % power_of_ten[hidden] == 0);
}

void add_digit(Decimal *value, int digit) {
    if (digit == 0 && value->ndigits == 0)
        value->weight--;
    else
        value->digits[value->ndigits++] = static_cast<std::int16_t>(digit);
}

}  // namespace

bool read_decimal(const char *bytes, int size, Decimal *value) noexcept {
    constexpr int header = 8;
    constexpr int positive_sign = 0x0000;
    constexpr int negative_sign = 0x4000;
    if (size < header)
        return false;
    value->ndigits = load<std::uint16_t>(bytes);
    value->weight = load<std::int16_t>(bytes + 2);
    int sign = load<std::uint16_t>(bytes + 4);
    value->scale = load<std::uint16_t>(bytes + 6);
    value->negative = sign == negative_sign;
    if (value->ndigits > Decimal::max_digits || size != header + 2 * value->ndigits ||
        (sign != positive_sign && sign != negative_sign) || value->scale > max_scale)
        return false;
    if (value->ndigits == 0) {
        value->weight = 0;
        return !value->negative;
    }
    for (int i = 0; i < value->ndigits; i++) {
        int digit = load<std::uint16_t>(bytes + header + 2 * i);
        if (digit >= power_of_ten[decimals])
            return false;
        value->digits[i] = static_cast<std::int16_t>(digit);
    }
    return value->digits[0] != 0 && value->digits[value->ndigits - 1] != 0 &&
           value->weight >= min_weight && value->weight <= max_weight && shows_all(*value);
}

bool parse_decimal(std::string_view text, Decimal *value) noexcept {
    value->negative = text.starts_with('-');
    if (value->negative)
        text.remove_prefix(1);
    std::size_t point = text.find('.');
    std::string_view whole = text.substr(0, point);
    std::string_view places;
    if (point != std::string_view::npos) {
        places = text.substr(point + 1);
        if (places.empty())
            return false;
    }
    if (whole.empty() || whole.size() > (max_weight + 1) * decimals || places.size() > max_scale ||
        (whole.size() > 1 && whole[0] == '0'))
        return false;

    value->weight = (static_cast<int>(whole.size()) - 1) / decimals;
    value->scale = static_cast<int>(places.size());
    value->ndigits = 0;
    int digit = 0;
    int missing = (static_cast<int>(whole.size()) - 1) % decimals + 1;  // of the digit, in decimals
    for (std::string_view part : {whole, places}) {
        for (char c : part) {
            if (!is_digit(c))
                return false;
            digit = digit * 10 + (c - '0');
            if (--missing == 0) {
                add_digit(value, digit);
                digit = 0;
                missing = decimals;
            }
        }
    }
    if (missing < decimals)
        add_digit(value, digit * power_of_ten[missing]);
    while (value->ndigits > 0 && value->digits[value->ndigits - 1] == 0)
        value->ndigits--;
    if (value->ndigits == 0) {
        value->weight = 0;
        return !value->negative;  // numeric has no -0
    }
    return true;
}

bool fits(const Decimal &value, int precision, int scale) noexcept {
    if (value.scale != scale)
        return false;
    if (value.ndigits == 0)
        return true;
    int before_point = value.weight * decimals;
    for (int i = 0; i < decimals && value.digits[0] >= power_of_ten[i]; i++)
        before_point++;
    return before_point <= precision - scale;
}

int store_decimal(const Decimal &value, char *target) noexcept {
    constexpr unsigned short_header = 0x8000;
    constexpr unsigned negative_bit = 0x2000;
    constexpr unsigned scale_shift = 7;
    constexpr unsigned weight_mask = 0x7F;  // with its sign
    int size = 4 + 2 + 2 * value.ndigits;
    std::uint32_t varlena = varlena_header(size);
    std::memcpy(target, &varlena, sizeof(varlena));
    auto header = static_cast<std::uint16_t>(short_header | (value.negative ? negative_bit : 0) |
                                             static_cast<unsigned>(value.scale) << scale_shift |
                                             (static_cast<unsigned>(value.weight) & weight_mask));
    std::memcpy(target + 4, &header, sizeof(header));
    std::memcpy(target + 6, value.digits, 2 * static_cast<std::size_t>(value.ndigits));
    return size;
}

std::uint32_t varlena_header(int size) noexcept {
    auto bytes = static_cast<std::uint32_t>(size);
    return std::endian::native == std::endian::little ? bytes << 2U : bytes;
}

}  // namespace fastcopy::core
