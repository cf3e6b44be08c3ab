/*
 * Progress: the share done from whatever the counters say, and the line for people, character by
 * character.
 */
#include "core/progress.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace fastcopy::core {
namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();
constexpr std::uint32_t uint32_max = std::numeric_limits<std::uint32_t>::max();
constexpr std::uint64_t uint64_max = std::numeric_limits<std::uint64_t>::max();

// The job of the example in the header.
LineFacts example() {
    return {.job = 42,
            .name = "public.orders",
            .state = "copying",
            .fraction = 0.61,
            .rows = 12400000,
            .rows_per_s = 2100000,
            .eta_seconds = 7,
            .elapsed_seconds = 72,
            .workers = 8,
            .workers_wanted = 8};
}

std::string line(const LineFacts &facts, std::size_t room = line_bytes) {
    std::string buffer(room + 8, '#');
    std::size_t length = format_line(facts, {buffer.data(), room});
    EXPECT_LE(length, room);
    EXPECT_EQ(buffer.substr(room), "########");
    return buffer.substr(0, length);
}

std::string rows_shown(std::uint64_t rows) {
    LineFacts facts = example();
    facts.rows = rows;
    std::string text = line(facts);
    auto begin = text.find("%  ") + 3;
    return text.substr(begin, text.find(" rows") - begin);
}

std::string bar_shown(double fraction) {
    LineFacts facts = example();
    facts.fraction = fraction;
    std::string text = line(facts);
    auto begin = text.find("▕");
    return text.substr(begin, text.find("  12.4") - begin);
}

std::string end_shown(std::string_view state, double eta, double elapsed) {
    LineFacts facts = example();
    facts.state = state;
    facts.eta_seconds = eta;
    facts.elapsed_seconds = elapsed;
    std::string text = line(facts);
    return text.substr(text.find("rows/s  ") + 8);
}

bool is_valid_utf8(std::string_view text) {
    for (std::size_t i = 0; i < text.size();) {
        auto lead = static_cast<unsigned char>(text[i]);
        std::size_t length = lead < 0x80 ? 1 : lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
        if ((lead & 0xC0) == 0x80 || i + length > text.size())
            return false;
        for (std::size_t k = 1; k < length; k++) {
            if ((static_cast<unsigned char>(text[i + k]) & 0xC0) != 0x80)
                return false;
        }
        i += length;
    }
    return true;
}

TEST(Fraction, NoPlanIsNothingDone) {
    EXPECT_EQ(fraction({}), 0.0);
    EXPECT_EQ(fraction({0, 0, 3, 100, 100, 100}), 0.0);
}

TEST(Fraction, DoneChunksCountWhole) {
    EXPECT_DOUBLE_EQ(fraction({4, 1, 0, 100, 0, 400}), 0.25);
    EXPECT_DOUBLE_EQ(fraction({4, 3, 0, 1, 0, 400}), 0.75);
    EXPECT_EQ(fraction({4, 4, 0, 100, 0, 400}), 1.0);
    EXPECT_EQ(fraction({4, 4, 0, 0, 0, 0}), 1.0);
}

TEST(Fraction, BytesInFlightCountAgainstTheMean) {
    // A done chunk had 50 bytes, so 50 bytes in flight are one chunk more.
    EXPECT_DOUBLE_EQ(fraction({10, 2, 2, 100, 50, 9999}), 0.3);
}

TEST(Fraction, BytesInFlightCountAgainstTheEstimateAtFirst) {
    EXPECT_DOUBLE_EQ(fraction({10, 0, 2, 0, 100, 1000}), 0.1);
    EXPECT_DOUBLE_EQ(fraction({10, 0, 2, 0, 100, 0}), 0.0);
}

TEST(Fraction, ChunksInFlightAreNeverWhole) {
    EXPECT_DOUBLE_EQ(fraction({10, 2, 2, 100, 1000000, 0}), (2 + 2 * 0.95) / 10);
    EXPECT_DOUBLE_EQ(fraction({1, 0, 1, 0, uint64_max, 1}), 0.95);
    EXPECT_DOUBLE_EQ(fraction({10, 9, 0, 900, 5000, 1000}), 0.9);
}

TEST(Fraction, EmptyChunks) {
    EXPECT_DOUBLE_EQ(fraction({4, 2, 2, 0, 0, 0}), 0.5);
    EXPECT_DOUBLE_EQ(fraction({4, 2, 2, 0, 10, 0}), 0.5);
}

TEST(Fraction, OneOnlyWhenAllChunksAreDone) {
    std::mt19937_64 random(7);
    for (int round = 0; round < 100000; round++) {
        Progress p;
        p.chunks = static_cast<std::uint32_t>(random() >> (32 + random() % 32));
        p.chunks_done = static_cast<std::uint32_t>(random() >> (32 + random() % 32));
        p.chunks_in_flight = static_cast<std::uint32_t>(random() >> (32 + random() % 32));
        p.bytes_done = random() >> (random() % 64);
        p.bytes_in_flight = random() >> (random() % 64);
        p.bytes_expected = random() >> (random() % 64);
        double f = fraction(p);
        ASSERT_GE(f, 0.0);
        ASSERT_LE(f, 1.0);
        ASSERT_EQ(f == 1.0, p.chunks > 0 && p.chunks_done >= p.chunks);
    }
    EXPECT_LT(fraction({uint32_max, uint32_max - 1, uint32_max, 1, uint64_max, 0}), 1.0);
}

TEST(Rate, PerSecond) {
    EXPECT_DOUBLE_EQ(rate(100, 4), 25.0);
    EXPECT_DOUBLE_EQ(rate(0, 4), 0.0);
    EXPECT_DOUBLE_EQ(rate(uint64_max, 1), 18446744073709551616.0);
}

TEST(Rate, NoTimeNoRate) {
    EXPECT_EQ(rate(100, 0), 0.0);
    EXPECT_EQ(rate(100, -1), 0.0);
    EXPECT_EQ(rate(100, not_a_number), 0.0);
    EXPECT_EQ(rate(100, infinity), 0.0);
    EXPECT_EQ(rate(uint64_max, std::numeric_limits<double>::denorm_min()), 0.0);
}

TEST(Eta, MeanSpeedSoFar) {
    EXPECT_DOUBLE_EQ(eta_seconds(0.5, 10), 10.0);
    EXPECT_DOUBLE_EQ(eta_seconds(0.25, 10), 30.0);
    EXPECT_DOUBLE_EQ(eta_seconds(1, 10), 0.0);
}

TEST(Eta, UnknownIsNegative) {
    EXPECT_LT(eta_seconds(0, 10), 0.0);
    EXPECT_LT(eta_seconds(-1, 10), 0.0);
    EXPECT_LT(eta_seconds(0.5, -1), 0.0);
    EXPECT_LT(eta_seconds(not_a_number, 10), 0.0);
    EXPECT_LT(eta_seconds(0.5, not_a_number), 0.0);
    EXPECT_LT(eta_seconds(0.5, infinity), 0.0);
    EXPECT_LT(eta_seconds(std::numeric_limits<double>::denorm_min(), 10), 0.0);
}

TEST(Line, Example) {
    EXPECT_EQ(line(example()),
              "42 public.orders ▕████████████░░░░░░░░▏ 61 %  12.4 M rows  2.10 M rows/s  "
              "eta 00:00:07  8/8 workers");
}

TEST(Line, Start) {
    LineFacts facts = example();
    facts.fraction = 0;
    facts.rows = 0;
    facts.rows_per_s = 0;
    facts.eta_seconds = -1;
    facts.workers = 1;
    EXPECT_EQ(line(facts),
              "42 public.orders ▕░░░░░░░░░░░░░░░░░░░░▏  0 %  0 rows  0 rows/s  "
              "eta --:--:--  1/8 workers");
}

TEST(Line, Done) {
    LineFacts facts = example();
    facts.fraction = 1;
    facts.state = "done";
    EXPECT_EQ(line(facts),
              "42 public.orders ▕████████████████████▏100 %  12.4 M rows  2.10 M rows/s  "
              "done in 00:01:12");
}

TEST(Line, StateTakesThePlaceOfEta) {
    for (std::string_view state :
         {"planning", "indexing", "failed", "cancelled", "interrupted", "resuming"})
        EXPECT_EQ(end_shown(state, 7, 72), state);
}

TEST(Line, Durations) {
    EXPECT_EQ(end_shown("done", 0, 0), "done in 00:00:00");
    EXPECT_EQ(end_shown("done", 0, 59.4), "done in 00:00:59");
    EXPECT_EQ(end_shown("done", 0, 59.5), "done in 00:01:00");
    EXPECT_EQ(end_shown("done", 0, 86399), "done in 23:59:59");
    EXPECT_EQ(end_shown("done", 0, 360000), "done in 100:00:00");
    EXPECT_EQ(end_shown("done", 0, -5), "done in 00:00:00");
    EXPECT_EQ(end_shown("copying", 3661, 0), "eta 01:01:01  8/8 workers");
    for (double unknown : {-1.0, 1e9, infinity, not_a_number})
        EXPECT_EQ(end_shown("copying", unknown, 0), "eta --:--:--  8/8 workers");
}

TEST(Line, BarRoundsDown) {
    EXPECT_EQ(bar_shown(0.0499), "▕░░░░░░░░░░░░░░░░░░░░▏  4 %");
    EXPECT_EQ(bar_shown(0.0501), "▕█░░░░░░░░░░░░░░░░░░░▏  5 %");
    EXPECT_EQ(bar_shown(0.9999), "▕███████████████████░▏ 99 %");
    EXPECT_EQ(bar_shown(1.0), "▕████████████████████▏100 %");
    EXPECT_EQ(bar_shown(7.0), "▕████████████████████▏100 %");
    EXPECT_EQ(bar_shown(-1.0), "▕░░░░░░░░░░░░░░░░░░░░▏  0 %");
    EXPECT_EQ(bar_shown(not_a_number), "▕░░░░░░░░░░░░░░░░░░░░▏  0 %");
}

TEST(Line, Counts) {
    EXPECT_EQ(rows_shown(0), "0");
    EXPECT_EQ(rows_shown(1), "1");
    EXPECT_EQ(rows_shown(9999), "9999");
    EXPECT_EQ(rows_shown(10000), "10.0 k");
    EXPECT_EQ(rows_shown(10049), "10.0 k");
    EXPECT_EQ(rows_shown(10050), "10.1 k");
    EXPECT_EQ(rows_shown(99949), "99.9 k");
    EXPECT_EQ(rows_shown(99950), "100 k");
    EXPECT_EQ(rows_shown(123456), "123 k");
    EXPECT_EQ(rows_shown(999499), "999 k");
    EXPECT_EQ(rows_shown(999500), "1.00 M");
    EXPECT_EQ(rows_shown(1000000), "1.00 M");
    EXPECT_EQ(rows_shown(9994999), "9.99 M");
    EXPECT_EQ(rows_shown(9995000), "10.0 M");
    EXPECT_EQ(rows_shown(999999999), "1.00 G");
    EXPECT_EQ(rows_shown(12345678901), "12.3 G");
    EXPECT_EQ(rows_shown(999600000000), "1000 G");
    EXPECT_EQ(rows_shown(uint64_max), "18446744074 G");
}

TEST(Line, RatesAreRounded) {
    for (auto [rate, shown] : std::initializer_list<std::pair<double, const char *>>{
             {0.4, "  0 rows/s"},
             {0.5, "  1 rows/s"},
             {9999.4, "  9999 rows/s"},
             {9999.5, "  10.0 k rows/s"},
             {-3, "  0 rows/s"},
             {not_a_number, "  0 rows/s"},
             {infinity, "  18446744074 G rows/s"}}) {
        LineFacts facts = example();
        facts.rows_per_s = rate;
        EXPECT_NE(line(facts).find(shown), std::string::npos) << shown;
    }
}

TEST(Line, ThreeSignificantDigitsAtMostHalfAUnitOff) {
    std::mt19937_64 random(3);
    for (int round = 0; round < 20000; round++) {
        std::uint64_t n = 10000 + (random() >> (25 + random() % 39));
        std::string text = rows_shown(n);
        double unit = text.ends_with(" k") ? 1e3 : text.ends_with(" M") ? 1e6 : 1e9;
        double shown = std::stod(text) * unit;
        ASSERT_NEAR(shown, static_cast<double>(n), static_cast<double>(n) * 0.00501) << n;
        auto digits = std::count_if(text.begin(), text.end(),
                                    [](unsigned char c) { return c >= '0' && c <= '9'; });
        ASSERT_EQ(digits, 3) << text;
    }
}

TEST(Line, LongestFits) {
    LineFacts facts = example();
    facts.job = std::numeric_limits<std::int64_t>::min();
    std::string name(300, 'x');
    facts.name = name;
    facts.rows = uint64_max;
    facts.rows_per_s = infinity;
    facts.eta_seconds = 400 * 24 * 3600 - 1;
    facts.workers = uint32_max;
    facts.workers_wanted = uint32_max;
    EXPECT_TRUE(line(facts).ends_with(" workers"));
    facts.state = "done";
    facts.elapsed_seconds = infinity;
    EXPECT_LT(line(facts).size(), line_bytes);
}

TEST(Line, TruncationKeepsWholeCharacters) {
    LineFacts facts = example();
    facts.name = "ёжик.größe€𝄞";
    std::string whole = line(facts);
    for (std::size_t room = 0; room <= whole.size() + 1; room++) {
        std::string cut = line(facts, room);
        ASSERT_TRUE(is_valid_utf8(cut)) << room;
        ASSERT_TRUE(whole.starts_with(cut)) << room;
        ASSERT_GT(cut.size() + 4, std::min(room, whole.size())) << room;
    }
    EXPECT_EQ(line(facts, whole.size()), whole);
}

TEST(Line, NamesThatAreNotUtf8AreCopied) {
    LineFacts facts = example();
    facts.name =
        "gr\xF6\xDF"
        "e";
    EXPECT_EQ(line(facts).substr(0, 9),
              "42 gr\xF6\xDF"
              "e ");
    facts.name = "\x80\x80\x80\x80\x80\x80";
    for (std::size_t room = 0; room < 12; room++)
        EXPECT_LE(line(facts, room).size(), room);
}

}  // namespace
}  // namespace fastcopy::core
