/*
 * Properties of the range arithmetic, over many sizes and at both ends of the integers: ranges
 * cover everything exactly once, bounds ascend strictly and stay inside, widths are even.
 */
#include "core/range_split.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <random>
#include <span>
#include <vector>

namespace fastcopy::core {
namespace {

constexpr std::int64_t int64_min = std::numeric_limits<std::int64_t>::min();
constexpr std::int64_t int64_max = std::numeric_limits<std::int64_t>::max();
constexpr std::uint32_t uint32_max = std::numeric_limits<std::uint32_t>::max();
constexpr std::uint64_t uint64_max = std::numeric_limits<std::uint64_t>::max();
constexpr std::uint64_t mib = std::uint64_t{1} << 20;

__extension__ using int128 = __int128;

std::vector<std::int64_t> integer_bounds_of(std::int64_t min, std::int64_t max,
                                            std::uint32_t chunks, std::size_t room = 4096) {
    std::vector<std::int64_t> out(room, 4711);
    std::size_t n = integer_bounds(min, max, chunks, out);
    EXPECT_LE(n, room);
    EXPECT_TRUE(std::all_of(out.begin() + n, out.end(), [](auto b) { return b == 4711; }));
    out.resize(n);
    return out;
}

std::vector<std::int64_t> refine_bounds_of(const std::vector<std::int64_t> &histogram,
                                           std::uint32_t chunks, std::size_t room = 4096) {
    std::vector<std::int64_t> out(room, 4711);
    std::size_t n = refine_bounds(histogram, chunks, out);
    EXPECT_LE(n, room);
    out.resize(n);
    return out;
}

std::vector<std::uint32_t> pick_evenly_of(std::size_t candidates, std::size_t wanted,
                                          std::size_t room = 4096) {
    std::vector<std::uint32_t> out(room, 4711);
    std::size_t n = pick_evenly(candidates, wanted, out);
    EXPECT_LE(n, room);
    out.resize(n);
    return out;
}

// min < b1 < b2 < ... <= max
void expect_interior_bounds(std::span<const std::int64_t> bounds, std::int64_t min,
                            std::int64_t max) {
    std::int64_t previous = min;
    for (std::int64_t bound : bounds) {
        ASSERT_LT(previous, bound);
        previous = bound;
    }
    if (!bounds.empty()) {
        ASSERT_LE(bounds.back(), max);
    }
}

// The number of integers in each range that the bounds cut min .. max into.
std::vector<int128> widths(std::span<const std::int64_t> bounds, std::int64_t min,
                           std::int64_t max) {
    std::vector<int128> result;
    int128 low = min;
    for (std::int64_t bound : bounds) {
        result.push_back(bound - low);
        low = bound;
    }
    result.push_back(int128{max} + 1 - low);
    return result;
}

TEST(ChunkBytes, WantedWins) {
    EXPECT_EQ(chunk_bytes(0, 4, 1), 1U);
    EXPECT_EQ(chunk_bytes(uint64_max, 1, uint64_max), uint64_max);
    EXPECT_EQ(chunk_bytes(1000 * mib, 4, 3 * mib), 3 * mib);
}

TEST(ChunkBytes, ChoiceStaysWithinLimits) {
    EXPECT_EQ(chunk_bytes(0, 4, 0), 8 * mib);
    EXPECT_EQ(chunk_bytes(100 * mib, 8, 0), 8 * mib);
    EXPECT_EQ(chunk_bytes(6400 * mib, 4, 0), 100 * mib);
    EXPECT_EQ(chunk_bytes(uint64_max, 4, 0), 256 * mib);
    EXPECT_EQ(chunk_bytes(uint64_max, std::numeric_limits<unsigned>::max(), 0), 256 * mib);
}

TEST(ChunkBytes, RingPerChunkMakesThemLarger) {
    EXPECT_EQ(chunk_bytes(64 * 1024 * mib, 4, 0, true), 256 * mib);
    EXPECT_EQ(chunk_bytes(2048 * mib, 4, 0, true), 64 * mib);
    EXPECT_EQ(chunk_bytes(2048 * mib, 4, 0), 32 * mib);
    EXPECT_EQ(chunk_bytes(160 * mib, 4, 0, true), 20 * mib);  // two for each worker
    EXPECT_EQ(chunk_bytes(10 * mib, 4, 0, true), 8 * mib);
    EXPECT_EQ(chunk_bytes(2048 * mib, 4, 3 * mib, true), 3 * mib);
    EXPECT_EQ(chunk_bytes(uint64_max, std::numeric_limits<unsigned>::max(), 0, true), 256 * mib);
}

TEST(ChunkBytes, NoWorkersCountAsOne) {
    EXPECT_EQ(chunk_bytes(1600 * mib, 0, 0), chunk_bytes(1600 * mib, 1, 0));
}

TEST(BlockChunkCount, RoundsUp) {
    EXPECT_EQ(block_chunk_count(1000, 100, 10), 10U);
    EXPECT_EQ(block_chunk_count(1000, 101, 10), 11U);
    EXPECT_EQ(block_chunk_count(1000, 1, 10), 1U);
}

TEST(BlockChunkCount, AtLeastOneAtMostOnePerBlock) {
    EXPECT_EQ(block_chunk_count(0, 0, 8 * mib), 1U);
    EXPECT_EQ(block_chunk_count(0, uint64_max, 1), 1U);
    EXPECT_EQ(block_chunk_count(1, uint64_max, 1), 1U);
    EXPECT_EQ(block_chunk_count(7, uint64_max, 1), 7U);
    EXPECT_EQ(block_chunk_count(7, 0, 1), 1U);
}

TEST(BlockChunkCount, Capped) {
    EXPECT_EQ(block_chunk_count(uint32_max, uint64_max, 1), max_chunks_per_relation);
    EXPECT_EQ(block_chunk_count(uint32_max, uint64_max, 0), max_chunks_per_relation);
    EXPECT_EQ(block_chunk_count(max_chunks_per_relation, uint64_max, 1), max_chunks_per_relation);
}

TEST(BlockChunkCount, ToastCounts) {
    // 3 GB of heap with 900 GB of TOAST is cut by what has to be moved.
    std::uint32_t blocks = 3 * 1024 * mib / 8192;
    EXPECT_EQ(block_chunk_count(blocks, 903 * 1024 * mib, 256 * mib), 3612U);
}

TEST(BlockRange, CoversExactlyAndEvenly) {
    std::vector<std::uint32_t> sizes = {2000, 4096, 65535, 65536, 65537, 1U << 31, uint32_max - 1};
    for (std::uint32_t blocks = 0; blocks < 70; blocks++)
        sizes.push_back(blocks);

    for (std::uint32_t blocks : sizes) {
        for (std::uint32_t count : {1U, 2U, 3U, 7U, 64U, 1000U, 65535U, 65536U}) {
            std::uint32_t expected_first = 0;
            std::uint32_t least = blocks / count;
            for (std::uint32_t i = 0; i < count; i++) {
                BlockRange range = block_range(blocks, count, i);
                ASSERT_EQ(range.first, expected_first);
                ASSERT_GE(range.end - range.first, least);
                ASSERT_LE(range.end - range.first, least + 1);
                expected_first = range.end;
            }
            ASSERT_EQ(expected_first, blocks);
        }
    }
}

TEST(BlockRange, IndexPastTheEndIsEmpty) {
    for (std::uint32_t index : {4U, 5U, uint32_max}) {
        BlockRange range = block_range(100, 4, index);
        EXPECT_EQ(range.first, 100U);
        EXPECT_EQ(range.end, 100U);
    }
}

TEST(BlockRange, ExtremeCounts) {
    EXPECT_EQ(block_range(100, 0, 0).first, 0U);
    EXPECT_EQ(block_range(100, 0, 0).end, 100U);
    EXPECT_EQ(block_range(uint32_max, uint32_max, uint32_max - 1).first, uint32_max - 1);
    EXPECT_EQ(block_range(uint32_max, uint32_max, uint32_max - 1).end, uint32_max);
}

TEST(IntegerBounds, NothingToCut) {
    EXPECT_TRUE(integer_bounds_of(5, 5, 100).empty());
    EXPECT_TRUE(integer_bounds_of(int64_min, int64_min, 100).empty());
    EXPECT_TRUE(integer_bounds_of(int64_max, int64_max, 100).empty());
    EXPECT_TRUE(integer_bounds_of(6, 5, 100).empty());
    EXPECT_TRUE(integer_bounds_of(int64_max, int64_min, 100).empty());
    EXPECT_TRUE(integer_bounds_of(1, 100, 0).empty());
    EXPECT_TRUE(integer_bounds_of(1, 100, 1).empty());
    EXPECT_TRUE(integer_bounds_of(1, 100, 10, 0).empty());
}

TEST(IntegerBounds, Simple) {
    EXPECT_EQ(integer_bounds_of(1, 100, 4), (std::vector<std::int64_t>{26, 51, 76}));
    EXPECT_EQ(integer_bounds_of(0, 1, 2), (std::vector<std::int64_t>{1}));
    EXPECT_EQ(integer_bounds_of(-2, 1, 2), (std::vector<std::int64_t>{0}));
    EXPECT_EQ(integer_bounds_of(0, 3, 100), (std::vector<std::int64_t>{1, 2, 3}));
}

TEST(IntegerBounds, WholeRange) {
    EXPECT_EQ(integer_bounds_of(int64_min, int64_max, 2), (std::vector<std::int64_t>{0}));
    EXPECT_EQ(integer_bounds_of(int64_min, int64_max, 4),
              (std::vector<std::int64_t>{int64_min / 2, 0, int64_max / 2 + 1}));
    EXPECT_EQ(integer_bounds_of(int64_max - 1, int64_max, 9),
              (std::vector<std::int64_t>{int64_max}));
    EXPECT_EQ(integer_bounds_of(int64_min, int64_min + 1, 9),
              (std::vector<std::int64_t>{int64_min + 1}));
}

TEST(IntegerBounds, CornersAreEven) {
    const std::int64_t corners[] = {
        int64_min, int64_min + 1, int64_min + 2, int64_min / 2, -1000000007,   -2,       -1, 0, 1,
        2,         999999937,     int64_max / 2, int64_max - 2, int64_max - 1, int64_max};
    for (std::int64_t min : corners) {
        for (std::int64_t max : corners) {
            if (min > max)
                continue;
            for (std::uint32_t chunks : {1U, 2U, 3U, 5U, 16U, 1000U, 4097U, uint32_max}) {
                auto bounds = integer_bounds_of(min, max, chunks);
                expect_interior_bounds(bounds, min, max);

                int128 values = int128{max} - min + 1;
                int128 expected = std::min<int128>({chunks, values, 4097});
                ASSERT_EQ(int128(bounds.size()), expected - 1);
                auto ranges = widths(bounds, min, max);
                auto [least, most] = std::minmax_element(ranges.begin(), ranges.end());
                ASSERT_LE(*most - *least, 1);
            }
        }
    }
}

TEST(IntegerBounds, ShortOutputStillSpansTheWhole) {
    EXPECT_EQ(integer_bounds_of(0, 99, 1000, 3), (std::vector<std::int64_t>{25, 50, 75}));
}

TEST(IntegerBounds, EachValueFallsInOneRange) {
    for (std::int64_t min : {std::int64_t{-20}, int64_min, int64_max - 40}) {
        for (std::int64_t size = 1; size <= 40; size++) {
            std::int64_t max = min + size - 1;
            for (std::uint32_t chunks = 1; chunks < 45; chunks++) {
                auto bounds = integer_bounds_of(min, max, chunks);
                std::vector<int> seen(bounds.size() + 1);
                for (std::int64_t i = 0; i < size; i++) {
                    auto above = std::upper_bound(bounds.begin(), bounds.end(), min + i);
                    seen[static_cast<std::size_t>(above - bounds.begin())]++;
                }
                ASSERT_TRUE(std::all_of(seen.begin(), seen.end(), [](int n) { return n > 0; }));
            }
        }
    }
}

TEST(IntegerBounds, RandomPairs) {
    std::mt19937_64 random(20240229);
    for (int round = 0; round < 20000; round++) {
        std::int64_t a = static_cast<std::int64_t>(random()) >> (random() % 64);
        std::int64_t b = static_cast<std::int64_t>(random()) >> (random() % 64);
        std::int64_t min = std::min(a, b);
        std::int64_t max = std::max(a, b);
        auto chunks = static_cast<std::uint32_t>(random() % 300);
        auto bounds = integer_bounds_of(min, max, chunks, 256);
        expect_interior_bounds(bounds, min, max);
        auto ranges = widths(bounds, min, max);
        auto [least, most] = std::minmax_element(ranges.begin(), ranges.end());
        ASSERT_LE(*most - *least, 1);
    }
}

TEST(RefineBounds, NothingToCut) {
    EXPECT_TRUE(refine_bounds_of({}, 10).empty());
    EXPECT_TRUE(refine_bounds_of({1}, 10).empty());
    EXPECT_TRUE(refine_bounds_of({1, 100}, 0).empty());
    EXPECT_TRUE(refine_bounds_of({1, 100}, 1).empty());
    EXPECT_TRUE(refine_bounds_of({7, 7, 7}, 10).empty());
    EXPECT_TRUE(refine_bounds_of({1, 100}, 10, 0).empty());
}

TEST(RefineBounds, PicksByRank) {
    // Four buckets of equally many rows: their borders are the cuts, however wide they are.
    EXPECT_EQ(refine_bounds_of({0, 10, 20, 1000, 5000}, 4),
              (std::vector<std::int64_t>{10, 20, 1000}));
    EXPECT_EQ(refine_bounds_of({0, 10, 20, 1000, 5000}, 2), (std::vector<std::int64_t>{20}));
}

TEST(RefineBounds, InterpolatesInsideBuckets) {
    EXPECT_EQ(refine_bounds_of({0, 100}, 4), (std::vector<std::int64_t>{25, 50, 75}));
    EXPECT_EQ(refine_bounds_of({0, 100, 1100}, 4), (std::vector<std::int64_t>{50, 100, 600}));
    EXPECT_EQ(refine_bounds_of({-100, 0, 10}, 4), (std::vector<std::int64_t>{-50, 0, 5}));
    EXPECT_EQ(refine_bounds_of({int64_min, int64_max}, 2), (std::vector<std::int64_t>{-1}));
}

TEST(RefineBounds, EqualBoundsAreWrittenOnce) {
    EXPECT_EQ(refine_bounds_of({0, 5, 5, 5, 9}, 4), (std::vector<std::int64_t>{5}));
    EXPECT_EQ(refine_bounds_of({0, 1, 2}, 100), (std::vector<std::int64_t>{1}));
    EXPECT_EQ(refine_bounds_of({3, 3, 3, 8}, 6), (std::vector<std::int64_t>{5}));
}

TEST(RefineBounds, DisorderIsHarmless) {
    auto bounds = refine_bounds_of({10, 5, 40, -3, 60}, 64);
    expect_interior_bounds(bounds, 10, int64_max);
}

TEST(RefineBounds, ShortOutputStillSpansTheWhole) {
    EXPECT_EQ(refine_bounds_of({0, 100}, 1000, 3), (std::vector<std::int64_t>{25, 50, 75}));
}

TEST(RefineBounds, RandomHistograms) {
    std::mt19937_64 random(15);
    for (int round = 0; round < 5000; round++) {
        std::vector<std::int64_t> histogram(2 + random() % 120);
        auto shift = random() % 64;
        for (auto &entry : histogram)
            entry = static_cast<std::int64_t>(random()) >> shift;
        std::sort(histogram.begin(), histogram.end());
        auto chunks = static_cast<std::uint32_t>(random() % 300);

        auto bounds = refine_bounds_of(histogram, chunks, 256);
        expect_interior_bounds(bounds, histogram.front(), histogram.back());
        ASSERT_LT(bounds.size(), std::max(chunks, 1U));

        // Wide entries do not fall together, so none of the bounds asked for is missing.
        if (shift < 8 && chunks > 0) {
            ASSERT_EQ(bounds.size(), std::min<std::size_t>(chunks - 1, 256));
        }
    }
}

TEST(PickEvenly, NothingToPick) {
    EXPECT_TRUE(pick_evenly_of(0, 5).empty());
    EXPECT_TRUE(pick_evenly_of(5, 0).empty());
    EXPECT_TRUE(pick_evenly_of(5, 5, 0).empty());
}

TEST(PickEvenly, Simple) {
    EXPECT_EQ(pick_evenly_of(101, 3), (std::vector<std::uint32_t>{25, 50, 75}));
    EXPECT_EQ(pick_evenly_of(3, 1), (std::vector<std::uint32_t>{1}));
    EXPECT_EQ(pick_evenly_of(4, 4), (std::vector<std::uint32_t>{0, 1, 2, 3}));
    EXPECT_EQ(pick_evenly_of(4, 9), (std::vector<std::uint32_t>{0, 1, 2, 3}));
    EXPECT_EQ(pick_evenly_of(1, 1), (std::vector<std::uint32_t>{0}));
    EXPECT_EQ(pick_evenly_of(101, 1000, 3), (std::vector<std::uint32_t>{25, 50, 75}));
}

TEST(PickEvenly, AscendingInRangeAndEven) {
    for (std::size_t candidates = 1; candidates < 200; candidates++) {
        for (std::size_t wanted = 1; wanted < 210; wanted++) {
            auto picks = pick_evenly_of(candidates, wanted);
            ASSERT_EQ(picks.size(), std::min(candidates, wanted));
            std::size_t gap = candidates / (picks.size() + 1);
            for (std::size_t i = 1; i < picks.size(); i++) {
                ASSERT_LT(picks[i - 1], picks[i]);
                ASSERT_GE(picks[i] - picks[i - 1], gap);
                ASSERT_LE(picks[i] - picks[i - 1], gap + 1);
            }
            ASSERT_LT(picks.back(), candidates);
        }
    }
}

TEST(PickEvenly, HugeCandidateCounts) {
    auto picks = pick_evenly_of(std::numeric_limits<std::size_t>::max(), 1000);
    ASSERT_EQ(picks.size(), 1000U);
    for (std::size_t i = 1; i < picks.size(); i++)
        ASSERT_LT(picks[i - 1], picks[i]);
}

}  // namespace
}  // namespace fastcopy::core
