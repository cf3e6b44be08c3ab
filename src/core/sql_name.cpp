#include "core/sql_name.hpp"

namespace fastcopy::core {

namespace {

constexpr std::size_t longest = 1024;

bool is_word_character(char c) noexcept {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
}

// Removes an identifier from the front of the text; false if the text does not start with one.
bool take_identifier(std::string_view *text) noexcept {
    std::size_t end = 0;
    if (!text->starts_with('"')) {
        while (end < text->size() && is_word_character((*text)[end]))
            end++;
        bool found = end > 0;
        text->remove_prefix(end);
        return found;
    }
    for (end = 1; end < text->size(); end++) {
        if ((*text)[end] == '\0')
            return false;
        if ((*text)[end] != '"')
            continue;
        // A doubled quote is part of the identifier.
        if (end + 1 < text->size() && (*text)[end + 1] == '"') {
            end++;
            continue;
        }
        text->remove_prefix(end + 1);
        return true;
    }
    return false;
}

// Removes identifiers separated by that character from the front.
bool take_list(std::string_view *text, char between) noexcept {
    for (;;) {
        if (!take_identifier(text))
            return false;
        if (!text->starts_with(between))
            return true;
        text->remove_prefix(1);
    }
}

bool is_symbol(std::string_view text) noexcept {
    constexpr std::string_view characters = "+-*/<>=~!@#%^&|`?";
    return !text.empty() && text.find_first_not_of(characters) == text.npos &&
           text.find("--") == text.npos && text.find("/*") == text.npos;
}

}  // namespace

bool is_name(std::string_view text) noexcept {
    return text.size() <= longest && take_list(&text, '.') && text.empty();
}

bool is_type_name(std::string_view text) noexcept {
    if (text.size() > longest)
        return false;
    while (text.ends_with("[]"))
        text.remove_suffix(2);
    std::string_view words = text;
    return is_name(text) || (take_list(&words, ' ') && words.empty());
}

bool is_operator_name(std::string_view text) noexcept {
    constexpr std::string_view begin = "OPERATOR(";
    if (text.size() > longest || !text.starts_with(begin) || !text.ends_with(')'))
        return false;
    text.remove_prefix(begin.size());
    text.remove_suffix(1);
    if (!take_identifier(&text) || !text.starts_with('.'))
        return false;
    return is_symbol(text.substr(1));
}

}  // namespace fastcopy::core
