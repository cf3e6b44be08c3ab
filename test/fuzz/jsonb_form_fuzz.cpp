// Fuzz target: the stored form of a jsonb, printed as PostgreSQL prints it, must be the text that
// it was made from. The input is the text; its first bytes determine the size of the desk.
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "check.hpp"
#include "core/decimal.hpp"
#include "core/jsonb_form.hpp"
#include "print_decimal.hpp"

namespace {

using namespace fastcopy::core;

// Reads the stored form and prints it; each access is checked against its bounds.
struct Printer {
    const std::vector<char> &form;
    std::string text;

    std::uint32_t word(std::size_t place) {
        CHECK(place % 4 == 0 && place + 4 <= form.size());
        std::uint32_t value;
        std::memcpy(&value, form.data() + place, 4);
        return value;
    }

    std::string_view bytes(std::size_t place, std::size_t size) {
        CHECK(place <= form.size() && size <= form.size() - place);
        return {form.data() + place, size};
    }

    void print_string(std::string_view value) {
        text += '"';
        for (char c : value) {
            constexpr std::string_view escaped = "\"\\\b\f\n\r\t";
            constexpr std::string_view letters = "\"\\bfnrt";
            std::size_t found = escaped.find(c);
            if (found != std::string_view::npos)
                text += {'\\', letters[found]};
            else
                text += c;
        }
        text += '"';
    }

    // Digits of base 10000 after a header; see core/decimal.
    void print_number(std::size_t place, std::size_t size) {
        std::size_t padding = -place & 3U;
        CHECK(size >= padding + 6);
        place += padding;
        size -= padding;
        CHECK(word(place) == varlena_header(static_cast<int>(size)));
        std::uint16_t header;
        std::memcpy(&header, form.data() + place + 4, 2);
        CHECK((header & 0xC000U) == 0x8000U);
        int weight = static_cast<int>(header & 0x3FU) - ((header & 0x40U) != 0 ? 0x40 : 0);
        int scale = header >> 7U & 0x3FU;
        int ndigits = static_cast<int>(size - 6) / 2;
        text += print_decimal((header & 0x2000U) != 0, weight, scale, ndigits, [&](int index) {
            std::int16_t digit;
            std::memcpy(&digit, form.data() + place + 6 + 2 * index, 2);
            return int{digit};
        });
    }

    void print_value(std::uint32_t entry, std::size_t place, std::size_t size) {
        switch (entry >> 28U & 7U) {
            case 0:
                return print_string(bytes(place, size));
            case 1:
                return print_number(place, size);
            case 2:
                text += "false";
                CHECK(size == 0);
                return;
            case 3:
                text += "true";
                CHECK(size == 0);
                return;
            case 4:
                text += "null";
                CHECK(size == 0);
                return;
            case 5: {
                std::size_t padding = -place & 3U;
                CHECK(size >= padding);
                return print_container(place + padding, size - padding);
            }
            default:
                CHECK(false);
        }
    }

    void print_container(std::size_t place, std::size_t size) {
        std::uint32_t header = word(place);
        std::size_t count = header & 0x0FFFFFFFU;
        bool is_object = (header & 0x20000000U) != 0;
        bool is_scalar = (header & 0x10000000U) != 0;
        CHECK(is_object != ((header & 0x40000000U) != 0));
        std::size_t nentries = is_object ? 2 * count : count;
        std::size_t values = place + 4 + 4 * nentries;
        CHECK(values <= place + size);
        std::vector<std::size_t> ends;
        for (std::size_t i = 0; i < nentries; i++) {
            std::uint32_t entry = word(place + 4 + 4 * i);
            std::size_t end = entry & 0x0FFFFFFFU;
            CHECK(((entry & 0x80000000U) != 0) == (i % 32 == 0));
            if (i % 32 != 0)
                end += ends.back();
            CHECK(end >= (i > 0 ? ends.back() : 0));
            ends.push_back(end);
        }
        CHECK(values + (ends.empty() ? 0 : ends.back()) == place + size);
        auto print = [&](std::size_t i) {
            std::size_t begin = i > 0 ? ends[i - 1] : 0;
            print_value(word(place + 4 + 4 * i), values + begin, ends[i] - begin);
        };
        if (is_scalar) {
            CHECK(!is_object && count == 1);
            return print(0);
        }
        text += is_object ? '{' : '[';
        for (std::size_t i = 0; i < count; i++) {
            text += i > 0 ? ", " : "";
            print(i);
            if (is_object) {
                text += ": ";
                print(count + i);
            }
        }
        text += is_object ? '}' : ']';
    }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
    if (size < 2)
        return 0;
    // Each in memory of its own, so that the sanitizer sees any byte read beyond it.
    std::vector<JsonbNode> nodes(data[0]);
    std::vector<char> bytes(data[1] * std::size_t{16});
    std::vector<char> text(data + 2, data + size);
    JsonbDesk desk{nodes.data(), static_cast<int>(nodes.size()), bytes.data(),
                   static_cast<int>(bytes.size())};
    int stored = form_jsonb({text.data(), text.size()}, desk);
    if (stored == 0)
        return 0;
    CHECK(stored >= 8 && static_cast<std::size_t>(stored) <= bytes.size());
    bytes.resize(static_cast<std::size_t>(stored));
    Printer printer{bytes, {}};
    CHECK(printer.word(0) == varlena_header(stored));
    printer.print_container(4, bytes.size() - 4);
    CHECK(printer.text == std::string_view(text.data(), text.size()));
    return 0;
}
