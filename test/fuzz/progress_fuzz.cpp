// The progress line for any counters, any doubles (also NaN and infinity) and any name, in a buffer
// of any size: nothing is written beyond it, truncation leaves whole characters, and 100 % means
// all.
#include <fuzzer/FuzzedDataProvider.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "check.hpp"
#include "core/progress.hpp"

using namespace fastcopy::core;

namespace {

// Twenty cells between two ends, each of three bytes.
constexpr std::size_t bar_bytes = 22 * 3;

double any_double(FuzzedDataProvider &data) {
    constexpr double usual[] = {0.0, 0.5, 1.0, 59.6, 86400.0};
    return data.ConsumeBool() ? std::bit_cast<double>(data.ConsumeIntegral<std::uint64_t>())
                              : data.PickValueInArray(usual);
}

// Whether lead and continuation bytes match; their meaning does not matter.
bool well_formed(std::string_view text) {
    for (std::size_t at = 0; at < text.size();) {
        auto lead = static_cast<unsigned char>(text[at++]);
        if (lead < 0x80)
            continue;
        int more = lead >= 0xF0 ? 3 : lead >= 0xE0 ? 2 : lead >= 0xC0 ? 1 : -1;
        if (more < 0)
            return false;
        for (; more > 0; more--, at++) {
            if (at == text.size() || (static_cast<unsigned char>(text[at]) & 0xC0) != 0x80)
                return false;
        }
    }
    return true;
}

// On the heap and of exactly that size, so that AddressSanitizer sees the end.
std::string line(const LineFacts &facts, std::size_t size) {
    std::vector<char> buffer(size);
    std::size_t length = format_line(facts, buffer);
    CHECK(length <= size);
    return {buffer.data(), length};
}

void check_arithmetic(FuzzedDataProvider &data) {
    Progress progress{};
    progress.chunks = data.ConsumeIntegral<std::uint32_t>();
    progress.chunks_done = data.ConsumeIntegral<std::uint32_t>();
    progress.chunks_in_flight = data.ConsumeIntegral<std::uint32_t>();
    progress.bytes_done = data.ConsumeIntegral<std::uint64_t>();
    progress.bytes_in_flight = data.ConsumeIntegral<std::uint64_t>();
    progress.bytes_expected = data.ConsumeIntegral<std::uint64_t>();
    double part = fraction(progress);
    CHECK(part >= 0 && part <= 1);
    CHECK((part == 1) == (progress.chunks > 0 && progress.chunks_done >= progress.chunks));

    double per_second = rate(progress.bytes_done, any_double(data));
    CHECK(std::isfinite(per_second) && per_second >= 0);
    double left = eta_seconds(data.ConsumeBool() ? part : any_double(data), any_double(data));
    CHECK(std::isfinite(left) && (left >= 0 || left == -1));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *bytes, std::size_t size) {
    FuzzedDataProvider data(bytes, size);
    check_arithmetic(data);

    constexpr const char *states[] = {"planning", "copying",   "done",
                                      "failed",   "cancelled", "interrupted"};
    bool known_state = data.ConsumeBool();
    std::string state =
        known_state ? data.PickValueInArray(states) : data.ConsumeRandomLengthString(40);
    LineFacts facts{};
    facts.job = data.ConsumeIntegral<std::int64_t>();
    facts.fraction = any_double(data);
    facts.rows = data.ConsumeIntegral<std::uint64_t>();
    facts.rows_per_s = any_double(data);
    facts.eta_seconds = any_double(data);
    facts.elapsed_seconds = any_double(data);
    facts.workers = data.ConsumeIntegral<std::uint32_t>();
    facts.workers_wanted = data.ConsumeIntegral<std::uint32_t>();
    std::size_t short_size = data.ConsumeIntegralInRange<std::size_t>(0, 2 * line_bytes);
    std::string name = data.ConsumeRemainingBytesAsString();
    facts.name = name;
    facts.state = state;

    std::string whole = line(facts, name.size() + state.size() + line_bytes);
    std::string cut = line(facts, short_size);
    CHECK(whole.starts_with(cut));
    if (name.size() <= 300 && known_state)
        CHECK(line(facts, line_bytes) == whole);
    if (well_formed(name) && well_formed(state)) {
        CHECK(well_formed(whole));
        CHECK(well_formed(cut));
        CHECK(cut.size() + 3 >= std::min(short_size, whole.size()));
    }
    std::string before_bar = std::to_string(facts.job) + " " + name + " ";
    CHECK(whole.starts_with(before_bar));
    std::string bar = whole.substr(before_bar.size());
    CHECK(bar.starts_with("▕"));
    CHECK((bar.substr(bar_bytes, 3) == "100") == (facts.fraction >= 1));
    return 0;
}
