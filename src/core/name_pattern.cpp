#include "core/name_pattern.hpp"

#include <algorithm>

namespace fastcopy::core {

namespace {

constexpr std::string_view special = "|*+?()[]{}.^$\\";

/* An expression that grows in a buffer that is large enough. */
struct Regex {
    std::span<char> out;
    std::size_t length = 0;
    bool empty = true;

    void raw(char c) noexcept { out[length++] = c; }
    void add(char c) noexcept {
        raw(c);
        empty = false;
    }
    void escape(char c) noexcept {
        raw('\\');
        add(c);
    }
    void begin() noexcept {
        raw('^');
        raw('(');
    }
    void end() noexcept {
        raw(')');
        raw('$');
        raw('\0');
    }
};

char fold(char c) noexcept {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

}  // namespace

NamePattern to_regexes(std::string_view pattern, std::span<char> schema,
                       std::span<char> table) noexcept {
    /* Whether there is a schema is known at the dot: what was written so far moves there. */
    Regex regex{table};
    regex.begin();
    bool quoted = false;
    bool qualified = false;
    for (std::size_t i = 0; i < pattern.size(); i++) {
        char c = pattern[i];
        char next = i + 1 < pattern.size() ? pattern[i + 1] : '\0';
        if (c == '"' && quoted && next == '"') {
            regex.add(c);
            i++;
        } else if (c == '"') {
            quoted = !quoted;
        } else if (c == '$') {
            regex.escape(c);
        } else if (quoted) {
            if (special.find(c) != special.npos)
                regex.escape(c);
            else
                regex.add(c);
        } else if (c == '*') {
            regex.add('.');
            regex.add('*');
        } else if (c == '?') {
            regex.add('.');
        } else if (c == '[' && next == ']') {
            regex.escape(c); /* as in the name of an array */
        } else if (c == '.') {
            if (qualified || regex.empty)
                return NamePattern::invalid;
            qualified = true;
            regex.end();
            std::copy_n(table.begin(), regex.length, schema.begin());
            regex = Regex{table};
            regex.begin();
        } else {
            regex.add(fold(c));
        }
    }
    if (quoted || regex.empty)
        return NamePattern::invalid;
    regex.end();
    return qualified ? NamePattern::qualified : NamePattern::table;
}

}  // namespace fastcopy::core
