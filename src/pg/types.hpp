// Built-in types that not all versions have.
#ifndef FASTCOPY_PG_TYPES_HPP
#define FASTCOPY_PG_TYPES_HPP

#include "pg/postgres.hpp"

namespace fastcopy::pg {

inline bool is_regdatabase(Oid type) {
#if PG_VERSION_NUM >= 190000
    return type == REGDATABASEOID || type == REGDATABASEARRAYOID;
#else
    (void)type;
    return false;
#endif
}

}  // namespace fastcopy::pg

#endif
