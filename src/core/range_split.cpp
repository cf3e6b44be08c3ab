/*
 * range_split: see the header for the meaning of ranges and bounds.
 *
 * Each even split here is the same formula, floor(size * i / parts), in a type wide enough for the
 * product: neighbours then differ by floor(size / parts) or one more, the first is 0, the last is
 * size, and with parts <= size they are strictly ascending. Distances between int64 values are
 * taken in uint64, where they fit, and added back by wrapping arithmetic, which is exact.
 */
#include "core/range_split.hpp"

#include <algorithm>
#include <limits>

namespace fastcopy::core {

namespace {

__extension__ using uint128 = unsigned __int128;

// The distance from low to high, low <= high: up to 2^64 - 1, which no int64 holds.
std::uint64_t distance(std::int64_t low, std::int64_t high) noexcept {
    return static_cast<std::uint64_t>(high) - static_cast<std::uint64_t>(low);
}

// The value at that distance above low; the caller knows that it is in range.
std::int64_t advance(std::int64_t low, std::uint64_t by) noexcept {
    return static_cast<std::int64_t>(static_cast<std::uint64_t>(low) + by);
}

// chunks, cut down to what a span of that many bounds can delimit, and at least 1.
std::uint32_t fitting_chunks(std::uint32_t chunks, std::size_t bounds) noexcept {
    if (chunks == 0)
        return 1;
    return static_cast<std::uint32_t>(std::min<std::size_t>(chunks - 1, bounds)) + 1;
}

}  // namespace

std::uint64_t chunk_bytes(std::uint64_t total_bytes, unsigned workers, std::uint64_t wanted,
                          bool ring_per_chunk) noexcept {
    if (wanted != 0)
        return wanted;
    std::uint64_t crew = std::max(workers, 1U);
    std::uint64_t least = min_chunk_bytes;
    if (ring_per_chunk)
        least = std::clamp(total_bytes / (crew * ring_chunks_per_worker), min_chunk_bytes,
                           min_ring_chunk_bytes);
    return std::clamp(total_bytes / (crew * chunks_per_worker), least, max_chunk_bytes);
}

std::uint32_t block_chunk_count(std::uint32_t blocks, std::uint64_t total_bytes,
                                std::uint64_t chunk_bytes) noexcept {
    std::uint64_t size = std::max<std::uint64_t>(chunk_bytes, 1);
    std::uint64_t count = total_bytes / size + (total_bytes % size != 0 ? 1 : 0);
    std::uint64_t most = std::min(std::max(blocks, std::uint32_t{1}), max_chunks_per_relation);
    return static_cast<std::uint32_t>(std::clamp<std::uint64_t>(count, 1, most));
}

BlockRange block_range(std::uint32_t blocks, std::uint32_t count, std::uint32_t index) noexcept {
    std::uint64_t parts = std::max(count, std::uint32_t{1});
    if (index >= parts)
        return {blocks, blocks};
    std::uint64_t first = std::uint64_t{blocks} * index / parts;
    std::uint64_t end = std::uint64_t{blocks} * (std::uint64_t{index} + 1) / parts;
    return {static_cast<std::uint32_t>(first), static_cast<std::uint32_t>(end)};
}

std::size_t integer_bounds(std::int64_t min, std::int64_t max, std::uint32_t chunks,
                           std::span<std::int64_t> out) noexcept {
    if (min >= max)
        return 0;

    // min .. max are up to 2^64 integers, one more than uint64 can count.
    uint128 values = uint128{distance(min, max)} + 1;
    std::uint32_t parts = fitting_chunks(chunks, out.size());
    if (parts > values)
        parts = static_cast<std::uint32_t>(values);

    for (std::uint32_t i = 1; i < parts; i++)
        out[i - 1] = advance(min, static_cast<std::uint64_t>(values * i / parts));
    return parts - 1;
}

std::size_t refine_bounds(std::span<const std::int64_t> histogram, std::uint32_t chunks,
                          std::span<std::int64_t> out) noexcept {
    if (histogram.size() < 2)
        return 0;

    std::uint64_t buckets = histogram.size() - 1;
    std::uint32_t parts = fitting_chunks(chunks, out.size());
    std::int64_t previous = histogram.front();
    std::size_t written = 0;

    for (std::uint32_t i = 1; i < parts; i++) {
        // The cut lies rank / parts buckets from the start: in which bucket, and how far into it.
        uint128 rank = uint128{buckets} * i;
        std::size_t bucket = static_cast<std::size_t>(rank / parts);
        std::uint32_t into = static_cast<std::uint32_t>(rank % parts);
        std::int64_t low = histogram[bucket];
        std::int64_t high = std::max(low, histogram[bucket + 1]);

        uint128 step = uint128{distance(low, high)} * into / parts;
        std::int64_t bound = advance(low, static_cast<std::uint64_t>(step));
        if (bound <= previous)
            continue;  // a value so frequent that it fills whole chunks, or a narrow bucket
        out[written++] = bound;
        previous = bound;
    }
    return written;
}

std::size_t pick_evenly(std::size_t candidates, std::size_t wanted,
                        std::span<std::uint32_t> out) noexcept {
    constexpr std::size_t most = std::numeric_limits<std::uint32_t>::max();
    candidates = std::min(candidates, most);

    std::size_t picks = std::min({candidates, wanted, out.size()});
    for (std::size_t i = 0; i < picks; i++) {
        uint128 index = uint128{i + 1} * candidates / (picks + 1);
        out[i] = static_cast<std::uint32_t>(index);
    }
    return picks;
}

}  // namespace fastcopy::core
