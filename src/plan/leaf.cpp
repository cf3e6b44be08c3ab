#include "plan/leaf.hpp"

namespace fastcopy::plan {

namespace {

int by_size_descending(const void *a, const void *b) {
    uint64 size_a = size_of(*static_cast<const Leaf *>(a));
    uint64 size_b = size_of(*static_cast<const Leaf *>(b));
    return size_a > size_b ? -1 : size_a < size_b ? 1 : 0;
}

}  // namespace

uint64 size_of(const Leaves &leaves) {
    uint64 bytes = 0;
    for (int i = 0; i < leaves.count; i++)
        bytes += size_of(leaves.leaves[i]);
    return bytes;
}

void sort_by_size(Leaves *leaves) {
    qsort(leaves->leaves, leaves->count, sizeof(Leaf), by_size_descending);
}

}  // namespace fastcopy::plan
