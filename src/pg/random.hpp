// Random numbers that need not be secret.
#ifndef FASTCOPY_PG_RANDOM_HPP
#define FASTCOPY_PG_RANDOM_HPP

#include "pg/postgres.hpp"

namespace fastcopy::pg {

// At least 0, less than 1.
inline double random_fraction() {
#if PG_VERSION_NUM >= 150000
    return pg_prng_double(&pg_global_prng_state);
#else
    return static_cast<double>(random()) / (static_cast<double>(MAX_RANDOM_VALUE) + 1);
#endif
}

}  // namespace fastcopy::pg

#endif
