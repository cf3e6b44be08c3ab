// A leaf: a relation with rows of a table, on either side.
#ifndef FASTCOPY_PLAN_LEAF_HPP
#define FASTCOPY_PLAN_LEAF_HPP

#include "pg/postgres.hpp"

namespace fastcopy::plan {

// A relation that holds rows: the table itself, a partition, or an inheritance child.
struct Leaf {
    Oid oid;
    char relkind;
    bool is_heap;
    const char *name;      // quoted, schema-qualified
    const char *schema;    // unquoted
    const char *relation;  // unquoted name in the schema
    // Whether the role may read it directly: the privilege on a parent does not extend to its
    // partitions.
    bool readable;
    // Whether it is read as SELECT by its name does, not by ONLY and ctid: see front_door.hpp.
    bool by_name;
    bool by_keys;      // if by_name: in ranges of a key
    int64 heap_bytes;  // without TOAST
    int64 toast_bytes;
    int32 block_size;
    Oid filenode;       // 0: no file
    bool has_children;  // by inheritance: a SELECT by its name returns their rows too
};

struct Leaves {
    int count;
    Leaf *leaves;
};

// Bytes of heap and TOAST.
inline uint64 size_of(const Leaf &leaf) {
    return static_cast<uint64>(leaf.heap_bytes + leaf.toast_bytes);
}
uint64 size_of(const Leaves &leaves);

// Whether statements read it with ONLY.
inline bool needs_only(const Leaf &leaf) {
    return !leaf.by_name &&
           (leaf.relkind == RELKIND_RELATION || leaf.relkind == RELKIND_FOREIGN_TABLE);
}

// Sorts leaves by size, the largest first, so that none starts after the others have finished.
void sort_by_size(Leaves *leaves);

}  // namespace fastcopy::plan

#endif
