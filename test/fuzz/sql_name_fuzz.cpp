// Fuzz target: a text accepted as a name must be one. Then nothing outside of double quotes can end
// a name in SQL, except the words, dots, brackets and symbols that belong to each kind.
#include <cstdint>
#include <string>
#include <string_view>

#include "check.hpp"
#include "core/sql_name.hpp"

namespace {

// The text without its parts in double quotes; these must be closed.
std::string unquoted(std::string_view text) {
    std::string rest;
    bool quoted = false;
    for (char c : text) {
        CHECK(c != '\0');
        if (c == '"')
            quoted = !quoted;
        else if (!quoted)
            rest += c;
    }
    CHECK(!quoted);
    return rest;
}

bool has_only(std::string_view text, std::string_view others) {
    for (char c : text)
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '.' ||
              others.find(c) != std::string_view::npos))
            return false;
    return true;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
    using namespace fastcopy::core;
    // In memory of its own, so that the sanitizer sees any byte read beyond it.
    std::string copy(size, '\0');
    for (std::size_t i = 0; i < size; i++)
        copy[i] = static_cast<char>(data[i]);
    std::string_view text = copy;
    if (is_name(text)) {
        CHECK(has_only(unquoted(text), ""));
        CHECK(is_type_name(text));
    }
    if (is_type_name(text))
        CHECK(has_only(unquoted(text), " []"));
    if (is_operator_name(text)) {
        CHECK(text.starts_with("OPERATOR(") && text.ends_with(")"));
        text.remove_prefix(9);
        text.remove_suffix(1);
        CHECK(has_only(unquoted(text), "+-*/<>=~!@#%^&|`?"));
        CHECK(text.find("--") == std::string_view::npos ||
              text.find('"') != std::string_view::npos);
        CHECK(text.find("/*") == std::string_view::npos ||
              text.find('"') != std::string_view::npos);
    }
    return 0;
}
