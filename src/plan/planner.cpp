#include "plan/planner.hpp"

#include "core/range_split.hpp"
#include "source/search_path.hpp"

namespace fastcopy::plan {

using source::Connection;
using source::Rows;

namespace {

// The first version whose planner has TID range scans.
constexpr int version_with_tid_range_scan = 140000;

struct Builder {
    int count = 0;
    int capacity = 0;
    Chunk *chunks = nullptr;

    Chunk *add(const SourceLeaf &leaf, Kind kind) {
        if (count == capacity) {
            capacity = Max(64, capacity * 2);
            size_t size = sizeof(Chunk) * capacity;
            chunks = static_cast<Chunk *>(chunks == nullptr
                                              ? MemoryContextAllocHuge(CurrentMemoryContext, size)
                                              : repalloc_huge(chunks, size));
        }
        Chunk *chunk = &chunks[count];
        *chunk = Chunk{};
        chunk->number = ++count;
        chunk->relation = leaf.name;
        chunk->kind = kind;
        chunk->only = !leaf.by_name &&
                      (leaf.relkind == RELKIND_RELATION || leaf.relkind == RELKIND_FOREIGN_TABLE);
        chunk->end_block = -1;
        return chunk;
    }
};

uint64 size_of(const SourceLeaf &leaf) {
    return static_cast<uint64>(leaf.heap_bytes + leaf.toast_bytes);
}

bool is_integer(Oid type) {
    return type == INT2OID || type == INT4OID || type == INT8OID;
}

bool is_instant(Oid type) {
    return type == DATEOID || type == TIMESTAMPOID || type == TIMESTAMPTZOID;
}

void cut_blocks(Builder *builder, const SourceLeaf &leaf, uint32 blocks, uint32 pieces) {
    for (uint32 i = 0; i < pieces; i++) {
        core::BlockRange range = core::block_range(blocks, pieces, i);
        Chunk *chunk = builder->add(leaf, Kind::blocks);
        chunk->first_block = range.first;
        chunk->end_block = i + 1 < pieces ? static_cast<int64>(range.end) : -1;
    }
}

// Bounds as text, in the order of the source, ready to stand between ranges.
struct Bounds {
    size_t count = 0;
    const char **texts = nullptr;
};

Bounds pick(const Rows &candidates, uint32 pieces) {
    Bounds bounds;
    auto *picked = static_cast<uint32 *>(palloc(sizeof(uint32) * pieces));
    bounds.count = core::pick_evenly(static_cast<size_t>(candidates.count), pieces - 1,
                                     std::span<std::uint32_t>(picked, pieces));
    bounds.texts = static_cast<const char **>(palloc(sizeof(char *) * pieces));
    for (size_t i = 0; i < bounds.count; i++)
        bounds.texts[i] = candidates.at(static_cast<int>(picked[i]), 0);
    return bounds;
}

Bounds to_texts(const int64 *values, size_t count) {
    Bounds bounds;
    bounds.count = count;
    bounds.texts = static_cast<const char **>(palloc(sizeof(char *) * Max(count, 1)));
    for (size_t i = 0; i < count; i++)
        bounds.texts[i] = psprintf(INT64_FORMAT, values[i]);
    return bounds;
}

Bounds find_bounds(Connection *connection, const SourceLeaf &leaf, const SplitKey &key,
                   uint32 pieces) {
    Rows histogram = read_histogram(connection, leaf, key);
    if (is_integer(key.type) && key.usual_order) {
        auto *values = static_cast<int64 *>(palloc(sizeof(int64) * pieces));
        std::span<std::int64_t> out(reinterpret_cast<std::int64_t *>(values), pieces);
        if (histogram.count >= 2) {
            auto *known = static_cast<int64 *>(palloc(sizeof(int64) * histogram.count));
            for (int i = 0; i < histogram.count; i++)
                known[i] = histogram.number_at(i, 0, PG_INT64_MIN, PG_INT64_MAX);
            std::span<const std::int64_t> in(reinterpret_cast<const std::int64_t *>(known),
                                             static_cast<size_t>(histogram.count));
            return to_texts(values, core::refine_bounds(in, pieces, out));
        }
        Rows extremes = read_extremes(connection, leaf, key);
        if (extremes.at_or_null(0, 0) == nullptr)
            return Bounds{};
        int64 least = extremes.number_at(0, 0, PG_INT64_MIN, PG_INT64_MAX);
        int64 greatest = extremes.number_at(0, 1, PG_INT64_MIN, PG_INT64_MAX);
        return to_texts(values, core::integer_bounds(least, greatest, pieces, out));
    }
    if (histogram.count == 0 && is_instant(key.type) && key.usual_order)
        histogram = read_even_instants(connection, leaf, key, static_cast<int>(pieces));
    return pick(histogram, pieces);
}

void cut_keys(Builder *builder, Connection *connection, const SourceLeaf &leaf, const SplitKey &key,
              uint32 pieces) {
    Bounds bounds = find_bounds(connection, leaf, key, pieces);
    const char *column = quote_always(key.column);
    if (key.collate_index)
        column = psprintf("%s COLLATE %s", column, key.collation);
    for (size_t i = 0; i <= bounds.count; i++) {
        Chunk *chunk = builder->add(leaf, Kind::range);
        chunk->key = column;
        chunk->key_type = key.type_name;
        chunk->less = key.less;
        chunk->not_less = key.not_less;
        chunk->lower = i > 0 ? bounds.texts[i - 1] : nullptr;
        chunk->upper = i < bounds.count ? bounds.texts[i] : nullptr;
    }
    // What is not null in a table may be in its children, which are read with it by its name.
    if (!key.not_null || (leaf.by_name && leaf.has_children)) {
        Chunk *chunk = builder->add(leaf, Kind::nulls);
        chunk->key = column;
    }
}

[[noreturn]] void raise_no_index(const job::Request &request, const SourceLeaf &leaf) {
    ereport(
        ERROR,
        (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
         errmsg("cannot split %s on column \"%s\"", leaf.name, request.key),
         errdetail("No btree index over all rows of that table begins with the column, so that "
                   "each chunk would read the whole table."),
         errhint("Leave key out to split by block ranges, or create the index on the source.")));
}

// A table that is read by its name only, in ranges of a key if it has one.
void cut_by_name(Builder *builder, Connection *connection, const job::Request &request,
                 const SourceLeaf &leaf, uint64 chunk_bytes) {
    auto blocks = static_cast<uint32>(
        Min(size_of(leaf) / static_cast<uint32>(leaf.block_size) + 1, uint64{PG_UINT32_MAX}));
    uint32 pieces = core::block_chunk_count(blocks, size_of(leaf), chunk_bytes);
    if (pieces > 1 || request.key != nullptr) {
        SplitKey key = find_key(connection, leaf, request.key);
        if (!key.found && request.key != nullptr)
            raise_no_index(request, leaf);
        if (key.found && pieces > 1)
            return cut_keys(builder, connection, leaf, key, pieces);
    }
    (void)builder->add(leaf, Kind::whole);
}

void cut_leaf(Builder *builder, Connection *connection, const job::Request &request,
              const SourceLeaf &leaf, uint64 chunk_bytes) {
    if (leaf.by_keys)
        return cut_by_name(builder, connection, request, leaf, chunk_bytes);
    bool has_blocks = leaf.is_heap && leaf.heap_bytes >= leaf.block_size;
    auto blocks =
        has_blocks
            ? static_cast<uint32>(Min(leaf.heap_bytes / leaf.block_size, INT64CONST(0xFFFFFFFF)))
            : 0;
    uint32 pieces = has_blocks ? core::block_chunk_count(blocks, size_of(leaf), chunk_bytes) : 1;

    if (request.key != nullptr && has_blocks) {
        SplitKey key = find_key(connection, leaf, request.key);
        if (!key.found)
            raise_no_index(request, leaf);
        if (pieces > 1)
            return cut_keys(builder, connection, leaf, key, pieces);
    } else if (pieces > 1) {
        // Who may read some columns only may not read ctid.
        if (source::server_version(connection) >= version_with_tid_range_scan && leaf.readable)
            return cut_blocks(builder, leaf, blocks, pieces);
        SplitKey key = find_key(connection, leaf, nullptr);
        if (key.found)
            return cut_keys(builder, connection, leaf, key, pieces);
    }
    (void)builder->add(leaf, Kind::whole);
}

int by_size_descending(const void *a, const void *b) {
    uint64 size_a = size_of(*static_cast<const SourceLeaf *>(a));
    uint64 size_b = size_of(*static_cast<const SourceLeaf *>(b));
    return size_a > size_b ? -1 : size_a < size_b ? 1 : 0;
}

// Whether the leaves can be read one by one. Who was granted the parent only reads them through it, in
// one chunk. A table without children has been probed already, with its columns' privileges.
bool can_read_leaves(const SourceTable &table, const SourceLeaves &leaves) {
    for (int i = 0; i < leaves.count; i++) {
        if (!leaves.leaves[i].readable && leaves.leaves[i].oid != table.oid)
            return false;
    }
    return true;
}

// What the key must be, whether or not the table turns out to be large enough to be split on it.
void check_key(Connection *connection, const job::Request &request, const SourceTable &table,
               const SourceColumns &columns) {
    bool found = false;
    for (int i = 0; i < columns.count && !found; i++)
        found = strcmp(columns.columns[i].name, request.key) == 0;
    if (!found)
        ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN),
                        errmsg("key column \"%s\" of source table \"%s\" does not exist",
                               request.key, request.source_table)));
    if (strchr("rpm", table.relkind) == nullptr)
        ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE),
                        errmsg("cannot split \"%s\" on a key", request.source_table),
                        errdetail("A view or foreign table has no index that serves ranges."),
                        errhint("Leave key out: it is then copied as one chunk.")));
    // The source tells best whether it can order the type; LIMIT 0 keeps it from reading a row.
    (void)source::query_table(connection, psprintf("SELECT FROM %s ORDER BY %s LIMIT 0", table.name,
                                                   quote_always(request.key)));
}

}  // namespace

uint64 size_of(const SourceLeaves &leaves) {
    uint64 bytes = 0;
    for (int i = 0; i < leaves.count; i++)
        bytes += size_of(leaves.leaves[i]);
    return bytes;
}

Plan keep_whole(const SourceTable &table, const Plan &plan) {
    SourceLeaf root{};
    root.relkind = RELKIND_PARTITIONED_TABLE;
    root.name = table.name;
    Builder builder;
    (void)builder.add(root, Kind::whole);
    Plan whole = plan;
    whole.count = builder.count;
    whole.chunks = builder.chunks;
    return whole;
}

Plan cut(Connection *connection, const job::Request &request, const SourceTable &table,
         const SourceColumns &columns, const SourceLeaves &leaves, bool ring_per_chunk) {
    if (request.key != nullptr)
        check_key(connection, request, table, columns);

    Plan plan{};
    plan.bytes_expected = size_of(leaves);
    uint64 chunk_bytes =
        core::chunk_bytes(plan.bytes_expected, static_cast<unsigned>(request.workers),
                          static_cast<uint64>(request.chunk_size_kb) * 1024, ring_per_chunk);

    // However large the source says it is, the chunks must be as many as the ledger can bear.
    constexpr uint64 max_chunks = uint64{1} << 20;
    chunk_bytes = Max(chunk_bytes, plan.bytes_expected / max_chunks + 1);

    if (!can_read_leaves(table, leaves))
        return keep_whole(table, plan);

    Builder builder;

    // Largest first, so that no large leaf is begun when the others are done.
    qsort(leaves.leaves, leaves.count, sizeof(SourceLeaf), by_size_descending);
    for (int i = 0; i < leaves.count; i++) {
        CHECK_FOR_INTERRUPTS();
        cut_leaf(&builder, connection, request, leaves.leaves[i], chunk_bytes);
    }
    plan.count = builder.count;
    plan.chunks = builder.chunks;
    return plan;
}

}  // namespace fastcopy::plan
