/*
 * range_split: the arithmetic of cutting a table into chunks.
 *
 * A job cuts its source table into many more chunks than it has workers, so that a skewed table or
 * a slow connection leaves no worker idle. This module answers two questions for the planner: how
 * large a chunk should be, and where the cuts go. It knows block numbers and 64-bit integers; what
 * they mean (a ctid, a bigint, a timestamp in microseconds, a place in a list of text values) is
 * the caller's.
 *
 * Two kinds of answer:
 *  - block ranges, [first, end), computed one at a time from the chunk's index, so that no list of
 *    them has to exist. Together they cover [0, blocks) exactly.
 *  - interior bounds b1 < b2 < ... < bn, which mean the n + 1 ranges (-inf, b1), [b1, b2), ...,
 *    [bn, +inf). The outer ranges are open, so every value falls in exactly one range, also values
 *    that appeared after the bounds were chosen. Because of that, bounds may be guesses: bad ones
 *    make uneven chunks, never lost or doubled rows. They must only be strictly ascending.
 *
 * Every function is pure, noexcept and allocates nothing: bounds go into the caller's span, and a
 * span that is too short gets fewer bounds, still evenly spaced over the whole.
 */
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace fastcopy::core {

// The limits of the chunk size that chunk_bytes chooses: small enough that a lost chunk costs only
// seconds and that progress is visible, large enough that a transaction per chunk is cheap.
constexpr std::uint64_t min_chunk_bytes = std::uint64_t{8} << 20;
constexpr std::uint64_t max_chunk_bytes = std::uint64_t{256} << 20;

// The least size of a chunk whose writer takes a new ring of 16 MB of the target's buffers for it,
// provided that each worker still finds some chunks. The ring of a smaller chunk never comes round.
constexpr std::uint64_t min_ring_chunk_bytes = std::uint64_t{64} << 20;
constexpr unsigned ring_chunks_per_worker = 2;

// How many chunks each worker should find, on average, in a table of middling size.
constexpr unsigned chunks_per_worker = 16;

// The most chunks that one relation is cut into, whatever its size: each is a row in the ledger.
constexpr std::uint32_t max_chunks_per_relation = 65536;

// The blocks first .. end - 1 of a relation.
struct BlockRange {
    std::uint32_t first;
    std::uint32_t end;
};

// The size of chunk to aim at: the one wanted, or, if that is 0, one that gives each worker several
// chunks, within the limits above.
std::uint64_t chunk_bytes(std::uint64_t total_bytes, unsigned workers, std::uint64_t wanted,
                          bool ring_per_chunk = false) noexcept;

// The number of chunks for a relation of that many blocks; total_bytes may be much more than the
// blocks hold, if most of the data is in TOAST. At least 1, at most one per block.
std::uint32_t block_chunk_count(std::uint32_t blocks, std::uint64_t total_bytes,
                                std::uint64_t chunk_bytes) noexcept;

// The index-th of count ranges over [0, blocks): in order, without gaps, and of sizes that differ
// by one block at most. An index past the end gives an empty range.
BlockRange block_range(std::uint32_t blocks, std::uint32_t count, std::uint32_t index) noexcept;

// Cuts the integers min .. max into at most `chunks` ranges of even width. Writes the interior
// bounds, each min < b <= max, strictly ascending, and returns how many: chunks - 1, or fewer when
// there are not that many integers or out is short.
std::size_t integer_bounds(std::int64_t min, std::int64_t max, std::uint32_t chunks,
                           std::span<std::int64_t> out) noexcept;

// Cuts along an ascending histogram whose buckets hold equally many rows each (the histogram_bounds
// of pg_stats) into at most `chunks` ranges of about as many rows each, taking the rows of one
// bucket to be evenly spread over it. Writes the interior bounds, each first < b <= last, strictly
// ascending, and returns how many; bounds that fall together are written once.
std::size_t refine_bounds(std::span<const std::int64_t> histogram, std::uint32_t chunks,
                          std::span<std::int64_t> out) noexcept;

// Picks at most `wanted` of the candidates 0 .. candidates - 1, evenly spaced, with a gap of the
// same size before the first and after the last: fit to be interior bounds. Writes their indexes,
// strictly ascending, and returns how many.
std::size_t pick_evenly(std::size_t candidates, std::size_t wanted,
                        std::span<std::uint32_t> out) noexcept;

}  // namespace fastcopy::core
