// The ranges that are compared: into which of them a row falls, told in SQL that both sides understand alike.
//
// By a key where there is one: half-open ranges between bounds from the source's statistics, and one more for
// rows whose key is NULL. Bounds are guesses, and bad ones only make uneven ranges; but both sides must agree
// on what is less. Numbers, dates, times, uuid and bytea have one order everywhere. Everything else is ordered as
// text by its bytes (collation "C", which needs no library), or, where the encodings of the two databases differ, by
// the bytes it has in UTF-8.
//
// Without a key, or without any bounds to be found, the ranges are by the hash of the row. These too tell how much
// differs; not where.
#ifndef FASTCOPY_COMPARE_RANGES_HPP
#define FASTCOPY_COMPARE_RANGES_HPP

#include "job/request.hpp"
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
    const char *column;     // the key, quoted for people
    const char *shown;      // what is compared with the bounds, as SQL for people
    int nbounds;            // ascending
    const char **bounds;    // values of the key as text
    const char **literals;  // what stands for them in SQL, unquoted
};

// By the key that the request names, or the first column of the source's primary key, or the hash.
Ranges choose_ranges(source::Connection *connection, const job::Request &request,
                     const plan::SourceTable &table, const plan::SourceColumns &columns,
                     const plan::Leaves &leaves, Relation target, bool same_encoding);

int count(const Ranges &ranges);

// The range as people read it: an SQL condition that holds on both sides, or its number.
char *describe(const Ranges &ranges, int range);
// Its bounds; nullptr: none.
const char *lower_bound(const Ranges &ranges, int range);
const char *upper_bound(const Ranges &ranges, int range);

}  // namespace fastcopy::compare

#endif
