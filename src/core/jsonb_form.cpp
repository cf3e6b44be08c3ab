#include "core/jsonb_form.hpp"

#include <cstring>

#include "core/decimal.hpp"

namespace fastcopy::core {

namespace {

using Kind = JsonbNode::Kind;

constexpr int max_depth = 32;

// The first pass makes nodes of the text.
struct Reader {
    const char *at;
    const char *end;
    JsonbNode *nodes;
    int max_nodes;
    int count;
};

bool read_value(Reader *reader, int depth);

bool read_word(Reader *reader, std::string_view word) {
    if (static_cast<std::size_t>(reader->end - reader->at) < word.size() ||
        std::memcmp(reader->at, word.data(), word.size()) != 0)
        return false;
    reader->at += word.size();
    return true;
}

// The byte that an escape stands for, or 0.
char unescape(char c) {
    switch (c) {
        case '"':
        case '\\':
            return c;
        case 'b':
            return '\b';
        case 'f':
            return '\f';
        case 'n':
            return '\n';
        case 'r':
            return '\r';
        case 't':
            return '\t';
        default:
            return 0;
    }
}

// Reads a string, after its opening quote.
bool read_string(Reader *reader, JsonbNode *node) {
    const char *begin = reader->at;
    const char *at = begin;
    const char *end = reader->end;
    bool escaped = false;
    for (; at < end && *at != '"'; at++) {
        if (static_cast<unsigned char>(*at) < ' ')
            return false;
        if (*at == '\\') {
            escaped = true;
            at++;
            if (at == end || unescape(*at) == 0)
                return false;
        }
    }
    if (at == end)
        return false;
    reader->at = at + 1;
    node->kind = Kind::string;
    node->text = begin;
    node->size = static_cast<int>(at - begin);
    node->escaped = escaped;
    return true;
}

// Finds the end only: whether it is a number is checked when it is stored.
void read_number(Reader *reader, JsonbNode *node) {
    const char *begin = reader->at;
    const char *at = begin + 1;
    while (at < reader->end && ((*at >= '0' && *at <= '9') || *at == '.'))
        at++;
    reader->at = at;
    node->kind = Kind::number;
    node->text = begin;
    node->size = static_cast<int>(at - begin);
}

bool read_array(Reader *reader, JsonbNode *node, int depth) {
    node->kind = Kind::array;
    node->size = 0;
    if (read_word(reader, "]"))
        return true;
    do {
        if (!read_value(reader, depth + 1))
            return false;
        node->size++;
    } while (read_word(reader, ", "));
    return read_word(reader, "]");
}

// In the order of jsonb's keys: shorter ones first.
bool is_before(const JsonbNode &a, const JsonbNode &b) {
    if (a.size != b.size)
        return a.size < b.size;
    return std::memcmp(a.text, b.text, static_cast<std::size_t>(a.size)) < 0;
}

bool read_object(Reader *reader, JsonbNode *node, int depth) {
    node->kind = Kind::object;
    node->size = 0;
    if (read_word(reader, "}"))
        return true;
    const JsonbNode *last_key = nullptr;
    do {
        if (reader->count == reader->max_nodes)
            return false;
        JsonbNode *key = &reader->nodes[reader->count++];
        if (!read_word(reader, "\"") || !read_string(reader, key) || key->escaped)
            return false;
        key->next = reader->count;
        if (last_key != nullptr && !is_before(*last_key, *key))
            return false;
        last_key = key;
        if (!read_word(reader, ": ") || !read_value(reader, depth + 1))
            return false;
        node->size++;
    } while (read_word(reader, ", "));
    return read_word(reader, "}");
}

bool read_value(Reader *reader, int depth) {
    if (reader->at == reader->end || reader->count == reader->max_nodes || depth > max_depth)
        return false;
    JsonbNode *node = &reader->nodes[reader->count++];
    bool known = true;
    switch (*reader->at) {
        case '"':
            reader->at++;
            known = read_string(reader, node);
            break;
        case '{':
            reader->at++;
            known = read_object(reader, node, depth);
            break;
        case '[':
            reader->at++;
            known = read_array(reader, node, depth);
            break;
        case 'n':
            node->kind = Kind::null;
            known = read_word(reader, "null");
            break;
        case 'f':
            node->kind = Kind::no;
            known = read_word(reader, "false");
            break;
        case 't':
            node->kind = Kind::yes;
            known = read_word(reader, "true");
            break;
        default:
            read_number(reader, node);
    }
    node->next = reader->count;
    return known;
}

// The second pass makes bytes of the nodes. An entry has the kind of a value and its number of
// bytes; no entry means failure.
using Entry = std::uint32_t;

constexpr Entry length_mask = 0x0FFFFFFF;
constexpr Entry string_entry = 0x00000000;
constexpr Entry number_entry = 0x10000000;
constexpr Entry no_entry = 0x20000000;
constexpr Entry yes_entry = 0x30000000;
constexpr Entry null_entry = 0x40000000;
constexpr Entry container_entry = 0x50000000;
constexpr Entry has_offset = 0x80000000;
constexpr Entry failed = 0xFFFFFFFF;

constexpr std::uint32_t scalar_flag = 0x10000000;
constexpr std::uint32_t object_flag = 0x20000000;
constexpr std::uint32_t array_flag = 0x40000000;

constexpr int offset_stride = 32;  // each such entry has the end of its value instead of its length

struct Writer {
    const JsonbNode *nodes;
    char *bytes;
    int capacity;
    int used;
};

Entry write_value(Writer *writer, int index);

bool has_room(const Writer *writer, int size) {
    return size <= writer->capacity - writer->used;
}

void put(Writer *writer, int place, std::uint32_t word) {
    std::memcpy(writer->bytes + place, &word, sizeof(word));
}

// Aligns the next position to be written for an int; there must be room for three bytes.
int align(Writer *writer) {
    int padding = -writer->used & 3;
    std::memset(writer->bytes + writer->used, 0, static_cast<std::size_t>(padding));
    writer->used += padding;
    return padding;
}

Entry write_string(Writer *writer, const JsonbNode &node) {
    if (!has_room(writer, node.size))
        return failed;
    char *target = writer->bytes + writer->used;
    int size = node.size;
    if (!node.escaped) {
        std::memcpy(target, node.text, static_cast<std::size_t>(size));
    } else {
        size = 0;
        for (int i = 0; i < node.size; i++) {
            char c = node.text[i];
            target[size++] = c == '\\' ? unescape(node.text[++i]) : c;
        }
    }
    writer->used += size;
    return string_entry | static_cast<Entry>(size);
}

Entry write_number(Writer *writer, const JsonbNode &node) {
    Decimal value;
    if (!has_room(writer, 3 + max_stored_decimal) ||
        !parse_decimal({node.text, static_cast<std::size_t>(node.size)}, &value))
        return failed;
    int size = align(writer);
    int stored = store_decimal(value, writer->bytes + writer->used);
    writer->used += stored;
    size += stored;
    return number_entry | static_cast<Entry>(size);
}

// The entries of an array or object, as they are filled in.
struct Entries {
    int place;
    int count;
    Entry end;  // of the last value, from the first
};

bool add_entry(Writer *writer, Entries *entries, Entry entry) {
    if (entry == failed)
        return false;
    entries->end += entry & length_mask;
    if (entries->count % offset_stride == 0)
        entry = (entry & ~length_mask) | entries->end | has_offset;
    put(writer, entries->place + 4 * entries->count, entry);
    entries->count++;
    return true;
}

// Writes the header and reserves that many entries; false if there is no room.
bool begin_container(Writer *writer, std::uint32_t header, int nentries, Entries *entries) {
    if (!has_room(writer, 3) || nentries > (writer->capacity - writer->used) / 4 - 2)
        return false;
    (void)align(writer);
    put(writer, writer->used, header);
    *entries = Entries{writer->used + 4, 0, 0};
    writer->used = entries->place + 4 * nentries;
    return true;
}

Entry write_array(Writer *writer, int index) {
    int begin = writer->used;
    int size = writer->nodes[index].size;
    Entries entries;
    if (!begin_container(writer, array_flag | static_cast<std::uint32_t>(size), size, &entries))
        return failed;
    for (int i = 0, element = index + 1; i < size; i++, element = writer->nodes[element].next)
        if (!add_entry(writer, &entries, write_value(writer, element)))
            return failed;
    return container_entry | static_cast<Entry>(writer->used - begin);
}

// All keys come before all values.
Entry write_object(Writer *writer, int index) {
    int begin = writer->used;
    int size = writer->nodes[index].size;
    Entries entries;
    if (!begin_container(writer, object_flag | static_cast<std::uint32_t>(size), 2 * size,
                         &entries))
        return failed;
    const JsonbNode *nodes = writer->nodes;
    for (int i = 0, key = index + 1; i < size; i++, key = nodes[key + 1].next)
        if (!add_entry(writer, &entries, write_string(writer, nodes[key])))
            return failed;
    for (int i = 0, key = index + 1; i < size; i++, key = nodes[key + 1].next)
        if (!add_entry(writer, &entries, write_value(writer, key + 1)))
            return failed;
    return container_entry | static_cast<Entry>(writer->used - begin);
}

Entry write_value(Writer *writer, int index) {
    const JsonbNode &node = writer->nodes[index];
    switch (node.kind) {
        case Kind::null:
            return null_entry;
        case Kind::no:
            return no_entry;
        case Kind::yes:
            return yes_entry;
        case Kind::number:
            return write_number(writer, node);
        case Kind::string:
            return write_string(writer, node);
        case Kind::array:
            return write_array(writer, index);
        case Kind::object:
            return write_object(writer, index);
    }
    return failed;
}

// A scalar on its own is stored as the only element of an array.
bool write_root(Writer *writer) {
    Kind kind = writer->nodes[0].kind;
    if (kind == Kind::array || kind == Kind::object)
        return write_value(writer, 0) != failed;
    Entries entries;
    return begin_container(writer, array_flag | scalar_flag | 1, 1, &entries) &&
           add_entry(writer, &entries, write_value(writer, 0));
}

}  // namespace

int form_jsonb(std::string_view text, const JsonbDesk &desk) noexcept {
    Reader reader{text.data(), text.data() + text.size(), desk.nodes, desk.max_nodes, 0};
    if (!read_value(&reader, 0) || reader.at != reader.end || desk.capacity < 4)
        return 0;
    Writer writer{desk.nodes, desk.bytes, desk.capacity, 4};
    if (!write_root(&writer))
        return 0;
    put(&writer, 0, varlena_header(writer.used));
    return writer.used;
}

}  // namespace fastcopy::core
