// Arrays of SQL made from C++ ones.
#ifndef FASTCOPY_PG_ARRAYS_HPP
#define FASTCOPY_PG_ARRAYS_HPP

#include "pg/postgres.hpp"

namespace fastcopy::pg {

// A palloc'd text[].
inline Datum text_array(const char *const *texts, int count) {
    auto *elements = static_cast<Datum *>(palloc(sizeof(Datum) * Max(count, 1)));
    for (int i = 0; i < count; i++)
        elements[i] = CStringGetTextDatum(texts[i]);
    return PointerGetDatum(construct_array(elements, count, TEXTOID, -1, false, TYPALIGN_INT));
}

// A palloc'd oid[].
inline Datum oid_array(const Oid *oids, int count) {
    auto *elements = static_cast<Datum *>(palloc(sizeof(Datum) * Max(count, 1)));
    for (int i = 0; i < count; i++)
        elements[i] = ObjectIdGetDatum(oids[i]);
    return PointerGetDatum(
        construct_array(elements, count, OIDOID, sizeof(Oid), true, TYPALIGN_INT));
}

// A palloc'd boolean[].
inline Datum bool_array(const bool *values, int count) {
    auto *elements = static_cast<Datum *>(palloc(sizeof(Datum) * Max(count, 1)));
    for (int i = 0; i < count; i++)
        elements[i] = BoolGetDatum(values[i]);
    return PointerGetDatum(construct_array(elements, count, BOOLOID, 1, true, TYPALIGN_CHAR));
}

}  // namespace fastcopy::pg

#endif
