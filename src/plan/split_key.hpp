// The key that a leaf is split on: a column that leads a btree index over all of its rows.
#ifndef FASTCOPY_PLAN_SPLIT_KEY_HPP
#define FASTCOPY_PLAN_SPLIT_KEY_HPP

#include "plan/leaf.hpp"
#include "source/connection.hpp"

namespace fastcopy::plan {

// A column that a leaf can be split on, because an index serves ranges of it.
struct SplitKey {
    bool found;
    const char *column;     // unquoted
    const char *type_name;  // of the base type, quoted, schema-qualified: what format_type says
    Oid type;               // of the base type
    const char *collation;  // of the index, quoted, schema-qualified; nullptr: not collatable
    bool collate_index;     // the index's collation is not the column's
    bool not_null;
    const char *less;      // the index's operator <, as OPERATOR(...)
    const char *not_less;  // and >=
    const char *equal;     // and =
    bool usual_order;      // the index has the type's default operator class
};

// The key to split a leaf on: the column, or, if that is nullptr, the best that its indexes offer.
SplitKey find_key(source::Connection *connection, const Leaf &leaf, const char *column);

// Types between whose values arithmetic finds others.
inline bool is_integer(Oid type) {
    return type == INT2OID || type == INT4OID || type == INT8OID;
}
inline bool is_instant(Oid type) {
    return type == DATEOID || type == TIMESTAMPOID || type == TIMESTAMPTZOID;
}

}  // namespace fastcopy::plan

#endif
