#include "core/dump_text.hpp"

#include <charconv>

namespace fastcopy::core {

namespace {

constexpr std::string_view comment_start = "--\n-- TOC entry ";
constexpr std::string_view blank = " \t\r\n";

bool is_identifier_part(char c) noexcept {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           static_cast<unsigned char>(c) >= 0x80;
}

bool follows_identifier(std::string_view text, std::size_t at) noexcept {
    return at > 0 && (is_identifier_part(text[at - 1]) || text[at - 1] == '$');
}

/* The position after the first `what` from `at` on, or the end. */
std::size_t after(std::string_view text, std::string_view what, std::size_t at) noexcept {
    std::size_t found = text.find(what, at);
    return found == std::string_view::npos ? text.size() : found + what.size();
}

std::size_t skip_string(std::string_view text, std::size_t at) noexcept {
    bool escapes =
        at > 0 && (text[at - 1] == 'E' || text[at - 1] == 'e') && !follows_identifier(text, at - 1);
    for (++at; at < text.size(); ++at) {
        if (text[at] == '\\' && escapes)
            ++at;
        else if (text[at] == '\'')
            return at + 1; /* a doubled quote begins another string */
    }
    return text.size();
}

std::size_t skip_dollar_quoted(std::string_view text, std::size_t at) noexcept {
    std::size_t end = at + 1;
    while (end < text.size() && is_identifier_part(text[end]))
        ++end;
    bool is_tag = end < text.size() && text[end] == '$' &&
                  !(end > at + 1 && text[at + 1] >= '0' && text[at + 1] <= '9');
    if (!is_tag || follows_identifier(text, at))
        return at + 1;
    return after(text, text.substr(at, end + 1 - at), end + 1);
}

std::size_t skip_comment(std::string_view text, std::size_t at) noexcept {
    int depth = 0;
    while (at < text.size()) {
        std::string_view two = text.substr(at, 2);
        if (two == "/*")
            ++depth;
        else if (two == "*/")
            --depth;
        at += two == "/*" || two == "*/" ? 2 : 1;
        if (depth == 0)
            break;
    }
    return at < text.size() ? at : text.size();
}

/* The position after the token that begins at `at`, as far as tokens matter here. */
std::size_t skip_token(std::string_view text, std::size_t at) noexcept {
    std::string_view two = text.substr(at, 2);
    if (two == "--")
        return after(text, "\n", at);
    if (two == "/*")
        return skip_comment(text, at);
    switch (text[at]) {
        case '\'':
            return skip_string(text, at);
        case '"':
            return after(text, "\"", at + 1);
        case '$':
            return skip_dollar_quoted(text, at);
        default:
            return at + 1;
    }
}

/* Where the next entry's comment begins, or the end. */
std::size_t find_comment(std::string_view text, std::size_t at) noexcept {
    while (at < text.size()) {
        bool at_line_start = at == 0 || text[at - 1] == '\n';
        if (at_line_start && text.substr(at).starts_with(comment_start))
            return at;
        at = skip_token(text, at);
    }
    return text.size();
}

std::string_view trim(std::string_view text) noexcept {
    std::size_t first = text.find_first_not_of(blank);
    if (first == std::string_view::npos)
        return {};
    return text.substr(first, text.find_last_not_of(blank) + 1 - first);
}

std::string_view take_line(std::string_view *text) noexcept {
    std::size_t end = text->find('\n');
    std::string_view line = text->substr(0, end);
    text->remove_prefix(end == std::string_view::npos ? text->size() : end + 1);
    return line;
}

bool take(std::string_view *text, std::string_view what) noexcept {
    if (!text->starts_with(what))
        return false;
    text->remove_prefix(what.size());
    return true;
}

bool take_number(std::string_view *text, std::uint32_t *number) noexcept {
    auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), *number);
    if (error != std::errc{})
        return false;
    text->remove_prefix(static_cast<std::size_t>(end - text->data()));
    return true;
}

/* "Name: orders; Type: TABLE; Schema: sales; Owner: shop", after "-- " and maybe other words. */
bool parse_label(std::string_view line, DumpEntry *entry) noexcept {
    constexpr std::string_view name = "Name: ";
    constexpr std::string_view type = "; Type: ";
    constexpr std::string_view schema = "; Schema: ";
    constexpr std::string_view owner = "; Owner: ";
    std::size_t name_at = line.find(name);
    std::size_t owner_at = line.rfind(owner);
    if (name_at == std::string_view::npos || owner_at == std::string_view::npos)
        return false;
    line = line.substr(name_at + name.size(), owner_at - name_at - name.size());
    std::size_t schema_at = line.rfind(schema);
    if (schema_at == std::string_view::npos)
        return false;
    entry->schema = line.substr(schema_at + schema.size());
    line = line.substr(0, schema_at);
    std::size_t type_at = line.rfind(type);
    if (type_at == std::string_view::npos)
        return false;
    entry->name = line.substr(0, type_at);
    entry->kind = line.substr(type_at + type.size());
    return true;
}

/* Reads the comment, and removes it from the text. */
bool take_comment(std::string_view *text, DumpEntry *entry) noexcept {
    if (!take(text, comment_start) || !take_number(text, &entry->id) || !take(text, " (class ") ||
        !take_number(text, &entry->catalog) || !take(text, " OID ") ||
        !take_number(text, &entry->oid) || !take(text, ")\n"))
        return false;
    std::string_view line = take_line(text);
    if (take(&line, "-- Dependencies:")) {
        entry->dependencies = line;
        line = take_line(text);
    }
    if (!take(&line, "-- ") || !parse_label(line, entry))
        return false;
    while (!text->empty()) {
        line = take_line(text);
        if (line == "--")
            return true;
        if (!line.starts_with("-- "))
            return false;
    }
    return false;
}

/* Cuts off what ends the text: comments that say so, and psql's \unrestrict. */
std::string_view cut_end(std::string_view sql) noexcept {
    for (;;) {
        sql = trim(sql);
        std::size_t line_end = sql.rfind('\n');
        std::size_t line_at = line_end == std::string_view::npos ? 0 : line_end + 1;
        std::string_view line = sql.substr(line_at);
        if (line.empty() || (!line.starts_with("--") && !line.starts_with("\\unrestrict ")))
            return sql;
        sql = sql.substr(0, line_at);
    }
}

/* The value of a line that sets this. */
bool parse_setting(std::string_view line, std::string_view name, std::string_view *value) noexcept {
    if (!take(&line, "SET ") || !take(&line, name) || !take(&line, " = ") || !line.ends_with(';'))
        return false;
    *value = line.substr(0, line.size() - 1);
    return true;
}

/* A name as pg_dump quotes it. */
bool take_identifier(std::string_view *text, std::string_view *name) noexcept {
    std::size_t at = 0;
    while (at < text->size() && (is_identifier_part((*text)[at]) || (*text)[at] == '"'))
        at = skip_token(*text, at);
    *name = text->substr(0, at);
    text->remove_prefix(at);
    return at > 0;
}

}  // namespace

DumpReader::DumpReader(std::string_view text) noexcept {
    std::size_t first = find_comment(text, 0);
    (void)cut_settings(text.substr(0, first));
    rest_ = text.substr(first);
    complete_ = rest_.empty();
}

/* Remembers the settings at the end of an entry, which are of the next. */
std::string_view DumpReader::cut_settings(std::string_view sql) noexcept {
    std::string_view tablespace;
    std::string_view access_method;
    sql = trim(sql);
    for (;;) {
        std::size_t line_end = sql.rfind('\n');
        std::string_view line = line_end == std::string_view::npos ? sql : sql.substr(line_end + 1);
        std::string_view value;
        if (parse_setting(line, "default_tablespace", &value))
            tablespace = tablespace.empty() ? value : tablespace;
        else if (parse_setting(line, "default_table_access_method", &value))
            access_method = access_method.empty() ? value : access_method;
        else
            break;
        sql = trim(sql.substr(0, sql.size() - line.size()));
    }
    if (!tablespace.empty())
        tablespace_ = tablespace;
    if (!access_method.empty())
        access_method_ = access_method;
    return sql;
}

bool DumpReader::next(DumpEntry *entry) noexcept {
    *entry = DumpEntry{};
    if (rest_.empty() || !take_comment(&rest_, entry))
        return false;
    std::size_t end = find_comment(rest_, 0);
    std::string_view sql = rest_.substr(0, end);
    rest_.remove_prefix(end);
    if (rest_.empty()) {
        sql = cut_end(sql);
        complete_ = true;
    }
    entry->tablespace = tablespace_;
    entry->access_method = access_method_;
    entry->sql = cut_settings(sql);
    return true;
}

bool take_dependency(std::string_view *dependencies, std::uint32_t *id) noexcept {
    return take(dependencies, " ") && take_number(dependencies, id);
}

bool parse_foreign_key(std::string_view sql, ForeignKeyText *key) noexcept {
    *key = ForeignKeyText{};
    std::size_t end = 0;
    while (end < sql.size() && sql[end] != ';')
        end = skip_token(sql, end);
    if (end == sql.size() || !trim(sql.substr(end + 1)).empty())
        return false;
    constexpr std::string_view not_valid = " NOT VALID";
    key->statement = sql.substr(0, end);
    key->not_valid = key->statement.ends_with(not_valid);
    if (key->not_valid)
        key->statement.remove_suffix(not_valid.size());
    std::string_view rest = key->statement;
    if (!take(&rest, "ALTER TABLE "))
        return false;
    key->only = take(&rest, "ONLY ");
    std::size_t table_end = 0;
    while (table_end < rest.size() && rest[table_end] != '\n')
        table_end = skip_token(rest, table_end);
    key->table = rest.substr(0, table_end);
    rest.remove_prefix(table_end);
    if (take(&rest, "\n    VALIDATE CONSTRAINT "))
        return take_identifier(&rest, &key->constraint) && rest.empty() && !key->not_valid;
    if (!take(&rest, "\n    ADD CONSTRAINT ") || !take_identifier(&rest, &key->constraint) ||
        !rest.starts_with(" FOREIGN KEY "))
        return false;
    key->key = rest.substr(1);
    return true;
}

}  // namespace fastcopy::core
