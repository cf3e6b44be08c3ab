#include "plan/planner.hpp"

#include "core/range_split.hpp"
#include "plan/bounds.hpp"
#include "source/search_path.hpp"

namespace fastcopy::plan {

using source::Connection;

namespace {

// The first version whose planner has TID range scans.
constexpr int version_with_tid_range_scan = 140000;

struct Builder {
    int count = 0;
    int capacity = 0;
    Chunk *chunks = nullptr;

    Chunk *add(const Leaf &leaf, Kind kind) {
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
        chunk->only = needs_only(leaf);
        chunk->end_block = -1;
        return chunk;
    }
};

// The blocks of a heap that it can be cut by; 0 for other leaves.
uint32 blocks_of(const Leaf &leaf) {
    if (!leaf.is_heap || leaf.heap_bytes < leaf.block_size)
        return 0;
    return static_cast<uint32>(Min(leaf.heap_bytes / leaf.block_size, INT64CONST(0xFFFFFFFF)));
}

uint32 pieces_of(const Leaf &leaf, uint64 chunk_bytes) {
    uint32 blocks = blocks_of(leaf);
    return blocks > 0 ? core::block_chunk_count(blocks, size_of(leaf), chunk_bytes) : 1;
}

void cut_blocks(Builder *builder, const Leaf &leaf, uint32 blocks, uint32 pieces) {
    for (uint32 i = 0; i < pieces; i++) {
        core::BlockRange range = core::block_range(blocks, pieces, i);
        Chunk *chunk = builder->add(leaf, Kind::blocks);
        chunk->first_block = range.first;
        chunk->end_block = i + 1 < pieces ? static_cast<int64>(range.end) : -1;
    }
}

void cut_keys(Builder *builder, Connection *connection, const Leaf &leaf, const SplitKey &key,
              uint32 pieces) {
    Bounds bounds = find_bounds(connection, leaf, key, pieces);
    const char *column = quote_always(key.column);
    if (key.collate_index)
        column = psprintf("%s COLLATE %s", column, key.collation);
    for (int i = 0; i <= bounds.count; i++) {
        Chunk *chunk = builder->add(leaf, Kind::range);
        chunk->key = column;
        chunk->key_type = key.type_name;
        chunk->less = key.less;
        chunk->not_less = key.not_less;
        chunk->lower = i > 0 ? bounds.texts[i - 1] : nullptr;
        chunk->upper = i < bounds.count ? bounds.texts[i] : nullptr;
    }
    // NOT NULL of a table does not extend to its children, which are read with it by its name.
    if (!key.not_null || (leaf.by_name && leaf.has_children)) {
        Chunk *chunk = builder->add(leaf, Kind::nulls);
        chunk->key = column;
    }
}

[[noreturn]] void raise_no_index(const CutOptions &options, const Leaf &leaf) {
    ereport(
        ERROR,
        (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
         errmsg("cannot split %s on column \"%s\"", leaf.name, options.key),
         errdetail("No btree index on all rows of the table begins with the column: "
                   "each chunk would read the whole table."),
         errhint("Leave key out to split by block ranges, or create the index on the source.")));
}

// Cuts a table that is read by its name, into ranges of a key if it has one.
void cut_by_name(Builder *builder, Connection *connection, const CutOptions &options,
                 const Leaf &leaf, uint64 chunk_bytes) {
    auto blocks = static_cast<uint32>(
        Min(size_of(leaf) / static_cast<uint32>(leaf.block_size) + 1, uint64{PG_UINT32_MAX}));
    uint32 pieces = core::block_chunk_count(blocks, size_of(leaf), chunk_bytes);
    if (pieces > 1 || options.key != nullptr) {
        SplitKey key = find_key(connection, leaf, options.key);
        if (!key.found && options.key != nullptr)
            raise_no_index(options, leaf);
        if (key.found && pieces > 1)
            return cut_keys(builder, connection, leaf, key, pieces);
    }
    (void)builder->add(leaf, Kind::whole);
}

void cut_leaf(Builder *builder, Connection *connection, const CutOptions &options, const Leaf &leaf,
              uint64 chunk_bytes) {
    if (leaf.by_keys)
        return cut_by_name(builder, connection, options, leaf, chunk_bytes);
    uint32 blocks = blocks_of(leaf);
    uint32 pieces = pieces_of(leaf, chunk_bytes);

    if (options.key != nullptr && blocks > 0) {
        SplitKey key = find_key(connection, leaf, options.key);
        if (!key.found)
            raise_no_index(options, leaf);
        if (pieces > 1)
            return cut_keys(builder, connection, leaf, key, pieces);
    } else if (pieces > 1) {
        // Reading ctid needs the privilege on the whole table.
        if (source::server_version(connection) >= version_with_tid_range_scan && leaf.readable)
            return cut_blocks(builder, leaf, blocks, pieces);
        SplitKey key = find_key(connection, leaf, nullptr);
        if (key.found)
            return cut_keys(builder, connection, leaf, key, pieces);
    }
    (void)builder->add(leaf, Kind::whole);
}

// Whether the leaves can be read one by one. With privileges on the parent only, they are read
// through it, in one chunk. A table without children has been probed already, with its columns'
// privileges.
bool can_read_leaves(const SourceTable &table, const Leaves &leaves) {
    for (int i = 0; i < leaves.count; i++) {
        if (!leaves.leaves[i].readable && leaves.leaves[i].oid != table.oid)
            return false;
    }
    return true;
}

// Checks the key, even if the table is too small to be split on it.
void check_key(Connection *connection, const CutOptions &options, const SourceTable &table,
               const SourceColumns &columns) {
    if (find_column(columns, options.key) == nullptr)
        ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN),
                        errmsg("key column \"%s\" of source table \"%s\" does not exist",
                               options.key, options.source_table)));
    if (strchr("rpm", table.relkind) == nullptr)
        ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE),
                        errmsg("cannot split \"%s\" on a key", options.source_table),
                        errdetail("A view or foreign table has no index that serves ranges."),
                        errhint("Leave key out to copy it as one chunk.")));
    // Let the source decide whether it can order the type; with LIMIT 0 it reads no row.
    (void)source::query_table(connection, psprintf("SELECT FROM %s ORDER BY %s LIMIT 0", table.name,
                                                   quote_always(options.key)));
}

uint64 chunk_bytes_of(const Leaves &leaves, const CutOptions &options) {
    uint64 bytes = size_of(leaves);
    uint64 chunk_bytes = core::chunk_bytes(bytes, static_cast<unsigned>(options.workers),
                                           static_cast<uint64>(options.chunk_size_kb) * 1024,
                                           options.ring_per_chunk);
    // Bounds the number of chunks in the ledger, however large the source claims to be.
    constexpr uint64 max_chunks = uint64{1} << 20;
    return Max(chunk_bytes, bytes / max_chunks + 1);
}

}  // namespace

Plan keep_whole(const SourceTable &table, const Plan &plan) {
    Leaf root{};
    root.relkind = table.alone ? RELKIND_RELATION : RELKIND_PARTITIONED_TABLE;
    root.name = table.name;
    Builder builder;
    (void)builder.add(root, Kind::whole);
    Plan whole = plan;
    whole.count = builder.count;
    whole.chunks = builder.chunks;
    return whole;
}

Plan cut(Connection *connection, const CutOptions &options, const SourceTable &table,
         const SourceColumns &columns, Leaves *leaves) {
    if (options.key != nullptr)
        check_key(connection, options, table, columns);

    Plan plan{};
    plan.bytes_expected = size_of(*leaves);
    if (!can_read_leaves(table, *leaves))
        return keep_whole(table, plan);
    uint64 chunk_bytes = chunk_bytes_of(*leaves, options);
    Builder builder;
    sort_by_size(leaves);
    for (int i = 0; i < leaves->count; i++) {
        CHECK_FOR_INTERRUPTS();
        cut_leaf(&builder, connection, options, leaves->leaves[i], chunk_bytes);
    }
    plan.count = builder.count;
    plan.chunks = builder.chunks;
    return plan;
}

Plan cut_here(const CutOptions &options, Leaves *leaves) {
    Plan plan{};
    plan.bytes_expected = size_of(*leaves);
    uint64 chunk_bytes = chunk_bytes_of(*leaves, options);
    Builder builder;
    sort_by_size(leaves);
    for (int i = 0; i < leaves->count; i++) {
        const Leaf &leaf = leaves->leaves[i];
        uint32 pieces = pieces_of(leaf, chunk_bytes);
        if (pieces > 1)
            cut_blocks(&builder, leaf, blocks_of(leaf), pieces);
        else
            (void)builder.add(leaf, Kind::whole);
    }
    plan.count = builder.count;
    plan.chunks = builder.chunks;
    return plan;
}

}  // namespace fastcopy::plan
