// Large objects of this database.
#ifndef FASTCOPY_PG_LARGE_OBJECT_HPP
#define FASTCOPY_PG_LARGE_OBJECT_HPP

#include "pg/postgres.hpp"

namespace fastcopy::pg {

// Writes bytes of a large object from a position on, in the current transaction.
inline void write_large_object(Oid oid, int64 from, const char *bytes, int size) {
    LargeObjectDesc *object = inv_open(oid, INV_WRITE, CurrentMemoryContext);
    (void)inv_seek(object, from, SEEK_SET);
    if (size > 0)
        (void)inv_write(object, bytes, size);
    inv_close(object);
    CommandCounterIncrement();
}

}  // namespace fastcopy::pg

#endif
