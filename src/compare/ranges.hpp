// The ranges that are compared, with an SQL expression for each side that computes a row's range.
//
// With a key, these are half-open ranges between bounds from the source's statistics, and one more
// for rows whose key is NULL. Bounds are guesses, and bad ones only make uneven ranges; but both
// sides must agree on their order. Numbers, dates, times, uuid and bytea have one order everywhere.
// All other types are ordered as text by its bytes (collation "C", which needs no library), or, if
// the encodings of the two databases differ, by its bytes in UTF-8.
//
// Without a key, or without bounds, the ranges are by the hash of the row. These too show how much
// differs, but not where.
#ifndef FASTCOPY_COMPARE_RANGES_HPP
#define FASTCOPY_COMPARE_RANGES_HPP

#include "job/request.hpp"
#include "job/target_columns.hpp"
#include "plan/source_table.hpp"

namespace fastcopy::compare {

inline constexpr int most_bounds = 127;
inline constexpr int hash_ranges = 64;
// Of either kind: one more than bounds, and the one of NULLs.
inline constexpr int max_ranges = most_bounds + 2;

inline constexpr int source_side = 0;
inline constexpr int target_side = 1;

enum class By : char { key, hash };

struct Ranges {
    By by;
    // SQL, by side: a row's range, from 0; NULL for the last. nullptr: by hash
    const char *expressions[2];
    const char *column;     // the key, quoted for users
    const char *shown;      // what is compared with the bounds, as SQL for users
    int nbounds;            // ascending
    const char **bounds;    // values of the key as text
    const char **literals;  // their literals in SQL, unquoted
};

// By the key that the request names, or the first column of the source's primary key, or the hash.
Ranges choose_ranges(source::Connection *connection, const job::Request &request,
                     const plan::SourceTable &table, const plan::SourceColumns &columns,
                     const plan::Leaves &leaves, const job::TargetColumns &target,
                     bool same_encoding);

int count(const Ranges &ranges);

// The range for users: an SQL condition that holds on both sides, or its number.
char *describe(const Ranges &ranges, int range);
// Its bounds; nullptr: none.
const char *lower_bound(const Ranges &ranges, int range);
const char *upper_bound(const Ranges &ranges, int range);

}  // namespace fastcopy::compare

#endif
