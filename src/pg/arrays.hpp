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

// A palloc'd integer[], and a palloc'd bigint[] or array of another type of 8 bytes.
inline Datum int4_array(const int32 *values, int count) {
    auto *elements = static_cast<Datum *>(palloc(sizeof(Datum) * Max(count, 1)));
    for (int i = 0; i < count; i++)
        elements[i] = Int32GetDatum(values[i]);
    return PointerGetDatum(
        construct_array(elements, count, INT4OID, sizeof(int32), true, TYPALIGN_INT));
}
inline Datum int8_array(const int64 *values, int count, Oid type = INT8OID) {
    auto *elements = static_cast<Datum *>(palloc(sizeof(Datum) * Max(count, 1)));
    for (int i = 0; i < count; i++)
        elements[i] = Int64GetDatum(values[i]);
    return PointerGetDatum(
        construct_array(elements, count, type, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

}  // namespace fastcopy::pg

#endif
