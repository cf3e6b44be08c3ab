// Which keys the target has already.
#ifndef FASTCOPY_SINK_KNOWN_KEYS_HPP
#define FASTCOPY_SINK_KNOWN_KEYS_HPP

#include "pg/postgres.hpp"

namespace fastcopy::sink {

// An ERROR if row security hides rows of the target from the current role.
void check_sees_all(Oid target, const char *target_table);

bool is_empty(Oid target);

// An ERROR if the target's column could take two keys of the source for one: it has another type, or
// a nondeterministic collation.
void check_comparable(Oid target, const char *column, Oid source_type, const char *source_name);

// Whether the target has a row with each key, palloc'd. Reads as the current role.
bool *find_known(Oid target, const char *column, const char *const *keys, int count);

}  // namespace fastcopy::sink

#endif
