// What differs between versions about foreign keys.
#ifndef FASTCOPY_PG_FOREIGN_KEY_HPP
#define FASTCOPY_PG_FOREIGN_KEY_HPP

#include "pg/postgres.hpp"

namespace fastcopy::pg {

// Whether ADD FOREIGN KEY ... NOT VALID is possible on partitioned tables.
inline constexpr bool adds_partitioned_keys_not_valid = PG_VERSION_NUM >= 180000;

// Whether the key refers to periods: then one row may need several that it refers to, and PostgreSQL
// has no query that checks all rows at once.
inline bool is_temporal(const FormData_pg_constraint &key) {
#if PG_VERSION_NUM >= 180000
    return key.conperiod;
#else
    (void)key;
    return false;
#endif
}

}  // namespace fastcopy::pg

#endif
