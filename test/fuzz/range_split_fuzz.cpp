// Properties of all ways to cut, for any numbers, also for a source with false statistics: ranges
// without gaps or overlaps, and strictly ascending bounds within what they cut.
#include <fuzzer/FuzzedDataProvider.h>

#include <algorithm>
#include <vector>

#include "check.hpp"
#include "core/range_split.hpp"

using namespace fastcopy::core;

namespace {

constexpr std::size_t most_bounds = 300;

template <typename T>
void check_ascending(const std::vector<T> &bounds) {
    for (std::size_t i = 1; i < bounds.size(); i++)
        CHECK(bounds[i - 1] < bounds[i]);
}

// Mostly few pieces, since each costs time; sometimes any number.
std::uint32_t any_count(FuzzedDataProvider &data) {
    return data.ConsumeBool() ? data.ConsumeIntegralInRange<std::uint32_t>(0, 300)
                              : data.ConsumeIntegral<std::uint32_t>();
}

void check_sizes(FuzzedDataProvider &data) {
    auto total = data.ConsumeIntegral<std::uint64_t>();
    auto wanted = data.ConsumeBool() ? data.ConsumeIntegral<std::uint64_t>() : 0;
    std::uint64_t size = chunk_bytes(total, data.ConsumeIntegral<unsigned>(), wanted);
    CHECK(wanted != 0 ? size == wanted : size >= min_chunk_bytes && size <= max_chunk_bytes);

    auto blocks = data.ConsumeIntegral<std::uint32_t>();
    std::uint32_t count = block_chunk_count(blocks, total, data.ConsumeBool() ? size : wanted);
    CHECK(count >= 1 && count <= std::max(blocks, 1U) && count <= max_chunks_per_relation);
}

void check_blocks(FuzzedDataProvider &data) {
    auto blocks = data.ConsumeIntegral<std::uint32_t>();
    std::uint32_t count = any_count(data);
    auto check_range = [=](std::uint32_t index) {
        BlockRange range = block_range(blocks, count, index);
        CHECK(range.first <= range.end && range.end <= blocks);
        if (index >= std::max(count, 1U)) {
            CHECK(range.first == range.end);
            return;
        }
        if (index == 0)
            CHECK(range.first == 0);
        if (index + 1 >= count)
            CHECK(range.end == blocks);
        else
            CHECK(range.end == block_range(blocks, count, index + 1).first);
        std::uint32_t least = blocks / std::max(count, 1U);
        CHECK(range.end - range.first == least || range.end - range.first == least + 1);
    };
    for (std::uint32_t index = 0; index < std::min(count, 300U); index++)
        check_range(index);
    check_range(count - 1);
    check_range(count);
    check_range(data.ConsumeIntegral<std::uint32_t>());
}

void check_integers(FuzzedDataProvider &data) {
    auto min = data.ConsumeIntegral<std::int64_t>();
    auto max = data.ConsumeBool()
                   ? data.ConsumeIntegral<std::int64_t>()
                   : static_cast<std::int64_t>(static_cast<std::uint64_t>(min) +
                                               data.ConsumeIntegralInRange<unsigned>(0, 500));
    std::uint32_t chunks = any_count(data);
    std::vector<std::int64_t> bounds(data.ConsumeIntegralInRange<std::size_t>(0, most_bounds));
    std::size_t room = bounds.size();
    std::size_t written = integer_bounds(min, max, chunks, bounds);
    CHECK(written <= room);
    bounds.resize(written);
    check_ascending(bounds);
    if (min >= max) {
        CHECK(written == 0);
        return;
    }
    for (std::int64_t bound : bounds)
        CHECK(min < bound && bound <= max);
    std::uint64_t distance = static_cast<std::uint64_t>(max) - static_cast<std::uint64_t>(min);
    CHECK(written == std::min({static_cast<std::uint64_t>(chunks > 0 ? chunks - 1 : 0),
                               static_cast<std::uint64_t>(room), distance}));
}

void check_histogram(FuzzedDataProvider &data) {
    std::vector<std::int64_t> histogram(data.ConsumeIntegralInRange<std::size_t>(0, 120));
    bool narrow = data.ConsumeBool();
    for (std::int64_t &value : histogram)
        value = narrow ? data.ConsumeIntegral<std::int8_t>() : data.ConsumeIntegral<std::int64_t>();
    bool sorted = data.ConsumeBool();
    if (sorted)
        std::sort(histogram.begin(), histogram.end());
    histogram.shrink_to_fit();
    std::uint32_t chunks = any_count(data);
    std::vector<std::int64_t> bounds(data.ConsumeIntegralInRange<std::size_t>(0, most_bounds));
    std::size_t room = bounds.size();
    std::size_t written = refine_bounds(histogram, chunks, bounds);
    CHECK(written <= room);
    CHECK(written < std::max(chunks, 1U));
    bounds.resize(written);
    check_ascending(bounds);  // even if the histogram was not
    if (sorted) {
        for (std::int64_t bound : bounds)
            CHECK(histogram.front() < bound && bound <= histogram.back());
    }
}

void check_picks(FuzzedDataProvider &data) {
    std::size_t candidates = any_count(data);
    std::size_t wanted = data.ConsumeBool() ? any_count(data) : data.ConsumeIntegral<std::size_t>();
    std::vector<std::uint32_t> picks(data.ConsumeIntegralInRange<std::size_t>(0, most_bounds));
    std::size_t room = picks.size();
    std::size_t written = pick_evenly(candidates, wanted, picks);
    CHECK(written == std::min({candidates, wanted, room}));
    picks.resize(written);
    check_ascending(picks);
    if (written > 0)
        CHECK(picks.back() < candidates);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *bytes, std::size_t size) {
    FuzzedDataProvider data(bytes, size);
    check_sizes(data);
    check_blocks(data);
    check_integers(data);
    check_picks(data);
    check_histogram(data);
    return 0;
}
