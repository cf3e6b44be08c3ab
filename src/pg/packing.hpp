// Values and strings as bytes, for what one process writes into shared memory and another reads.
//
// Both are processes of one server with the same library: numbers go in as their bytes are, strings as a
// byte that tells nullptr from a string, and the C string. Nothing is aligned.
#ifndef FASTCOPY_PG_PACKING_HPP
#define FASTCOPY_PG_PACKING_HPP

#include "pg/postgres.hpp"

namespace fastcopy::pg {

inline void put_string(StringInfo out, const char *text) {
    appendStringInfoChar(out, text != nullptr ? 1 : 0);
    if (text != nullptr)
        appendBinaryStringInfo(out, text, static_cast<int>(strlen(text)) + 1);
}

template <typename Value>
void put(StringInfo out, Value value) {
    appendBinaryStringInfo(out, reinterpret_cast<const char *>(&value), sizeof(value));
}

// Palloc'd in the current memory context.
inline const char *get_string(const char **in) {
    if (*(*in)++ == 0)
        return nullptr;
    const char *text = pstrdup(*in);
    *in += strlen(text) + 1;
    return text;
}

template <typename Value>
Value get(const char **in) {
    Value value;
    memcpy(&value, *in, sizeof(value));
    *in += sizeof(value);
    return value;
}

}  // namespace fastcopy::pg

#endif
