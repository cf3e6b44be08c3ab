// Values and strings as bytes, for what one process writes into shared memory and another reads.
//
// Both are processes of one server with the same library: numbers are packed as their bytes are,
// strings as a byte that tells nullptr from a string, and the C string. Nothing is aligned. Packer
// and Unpacker have the same functions, so that one template names the fields of a struct for both:
//
//     template <typename Archive>
//     void visit(Archive &archive, Thing &thing) {
//         archive.text(thing.name);
//         archive.value(thing.count);
//     }
//
// Packer changes nothing in what it is given.
#ifndef FASTCOPY_PG_PACKING_HPP
#define FASTCOPY_PG_PACKING_HPP

#include "pg/postgres.hpp"

namespace fastcopy::pg {

struct Packer {
    StringInfo out;

    template <typename Value>
    void value(Value &value) {
        appendBinaryStringInfo(out, reinterpret_cast<const char *>(&value), sizeof(value));
    }
    void text(const char *&text) {
        appendStringInfoChar(out, text != nullptr ? 1 : 0);
        if (text != nullptr)
            appendBinaryStringInfo(out, text, static_cast<int>(strlen(text)) + 1);
    }
    // An array of `count` strings; a negative count stands for no array.
    void texts(const char **&texts, int count) {
        for (int i = 0; i < count; i++)
            text(texts[i]);
    }
    // An array whose elements are visited next.
    template <typename Element>
    void elements(Element *&, int) {}
    void bytes(const char *&bytes, int size) { appendBinaryStringInfo(out, bytes, size); }
};

// All that it makes is palloc'd in the current memory context.
struct Unpacker {
    const char *in;

    template <typename Value>
    void value(Value &value) {
        memcpy(&value, in, sizeof(value));
        in += sizeof(value);
    }
    void text(const char *&text) {
        text = nullptr;
        if (*in++ == 0)
            return;
        text = pstrdup(in);
        in += strlen(text) + 1;
    }
    void texts(const char **&texts, int count) {
        texts = nullptr;
        if (count < 0)
            return;
        elements(texts, count);
        for (int i = 0; i < count; i++)
            text(texts[i]);
    }
    template <typename Element>
    void elements(Element *&elements, int count) {
        elements = static_cast<Element *>(palloc0(sizeof(Element) * Max(count, 1)));
    }
    void bytes(const char *&bytes, int size) {
        auto *copy = static_cast<char *>(palloc(Max(size, 1)));
        memcpy(copy, in, size);
        bytes = copy;
        in += size;
    }
};

}  // namespace fastcopy::pg

#endif
