// Bounds: the values of a key that separate ranges of about equally many rows.
//
// They come from the source's statistics, or, where those are missing, from arithmetic between the
// least and the greatest key, which an index finds at once. Bounds may be guesses: bad ones make
// uneven ranges, never wrong ones. They must only be in the order by which rows are sorted into the
// ranges.
#ifndef FASTCOPY_PLAN_BOUNDS_HPP
#define FASTCOPY_PLAN_BOUNDS_HPP

#include "plan/split_key.hpp"

namespace fastcopy::plan {

// The values of a key as SQL, where "d.v" is a value.
struct KeyOrder {
    const char *type;  // qualified
    const char *sort;  // what follows ORDER BY
    const char *form;  // the text that conditions compare with; nullptr: the value as text
    bool distinct;     // leave out repeated values
};

// Ascending.
struct Bounds {
    int count;
    const char **texts;  // values as text
    const char **forms;  // see KeyOrder
};

// Values of a column in order, each as text and in its form: from the statistics of the leaves, and
// of the table with all its children unless `table` is InvalidOid.
source::Rows read_key_values(source::Connection *connection, const char *column,
                             const KeyOrder &order, Oid table, const Leaves &leaves);

// Evenly spaced values among these, enough for that many ranges.
Bounds pick_bounds(const source::Rows &values, uint32 ranges);

// Bounds evenly spaced between the least and the greatest key, by the index; for integers, dates
// and timestamps in their usual order. None for other keys.
Bounds spread_bounds(source::Connection *connection, const Leaf &leaf, const SplitKey &key,
                     uint32 ranges);

// The bounds that cut a leaf into that many ranges, or fewer.
Bounds find_bounds(source::Connection *connection, const Leaf &leaf, const SplitKey &key,
                   uint32 ranges);

}  // namespace fastcopy::plan

#endif
