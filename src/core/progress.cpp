/*
 * progress: see the header. The formatting is integer arithmetic on purpose: printf and streams
 * follow the locale, and the precision asked for here is three digits.
 */
#include "core/progress.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>

namespace fastcopy::core {

namespace {

constexpr unsigned bar_cells = 20;

// The share of the chunks in flight that can count as done, however many bytes they have brought: a
// chunk may be larger than the mean.
constexpr double in_flight_limit = 0.95;

// Numbers of this size and more are shortened to k, M or G.
constexpr std::uint64_t first_shortened = 10000;

// An ETA of this many seconds (400 days) and more is shown as unknown: it only says that the job
// has hardly begun.
constexpr double eta_limit = 400.0 * 24 * 3600;

// Appends to a span of fixed size. Once something did not fit, the rest is dropped.
class Writer {
  public:
    explicit Writer(std::span<char> out) noexcept : out_(out) {}

    std::size_t length() const noexcept { return length_; }

    void text(std::string_view text) noexcept {
        if (full_)
            return;
        std::size_t room = out_.size() - length_;
        std::size_t fits = text.size();
        if (fits > room) {
            full_ = true;
            fits = room;
            while (fits > 0 && is_continuation(text[fits]))
                fits--;
        }
        std::copy_n(text.data(), fits, out_.data() + length_);
        length_ += fits;
    }

    void character(char c) noexcept {
        full_ = full_ || length_ == out_.size();
        if (!full_)
            out_[length_++] = c;
    }

    // A number of at least that many places, filled up on the left.
    template <typename Integer>
    void number(Integer n, std::ptrdiff_t places = 1, char fill = ' ') noexcept {
        char digits[24];
        auto end = std::to_chars(digits, digits + sizeof(digits), n).ptr;
        for (std::ptrdiff_t missing = places - (end - digits); missing > 0; missing--)
            character(fill);
        text({digits, static_cast<std::size_t>(end - digits)});
    }

  private:
    static bool is_continuation(char byte) noexcept {
        return (static_cast<unsigned char>(byte) & 0xC0) == 0x80;
    }

    std::span<char> out_;
    std::size_t length_ = 0;
    bool full_ = false;
};

// n / by, rounded to the nearest integer.
std::uint64_t divide_rounding(std::uint64_t n, std::uint64_t by) noexcept {
    return n / by + (n % by >= by - by / 2 ? 1 : 0);
}

// A number as an integer, clamped to between 0 and the largest one.
std::uint64_t to_count(double x) noexcept {
    if (!(x > 0))
        return 0;
    if (x >= 18e18)
        return UINT64_MAX;
    return static_cast<std::uint64_t>(x + 0.5);
}

// n, plain if it is short, else with three significant digits and a unit.
void write_count(Writer &writer, std::uint64_t n) noexcept {
    if (n < first_shortened)
        return writer.number(n);

    struct Unit {
        std::uint64_t size;
        std::string_view name;
    };
    constexpr Unit units[] = {{1000, " k"}, {1000000, " M"}, {1000000000, " G"}};
    constexpr Unit last = units[2];

    for (const Unit &unit : units) {
        // Round first: 999 999 is 1.00 M and not 1000 k.
        std::uint64_t hundredths = divide_rounding(n, unit.size / 100);
        std::uint64_t tenths = divide_rounding(n, unit.size / 10);
        std::uint64_t whole = divide_rounding(n, unit.size);
        if (hundredths < 1000) {
            writer.number(hundredths / 100);
            writer.text(".");
            writer.number(hundredths % 100, 2, '0');
        } else if (tenths < 1000) {
            writer.number(tenths / 10);
            writer.text(".");
            writer.number(tenths % 10);
        } else if (whole < 1000 || unit.size == last.size) {
            writer.number(whole);
        } else {
            continue;
        }
        return writer.text(unit.name);
    }
}

// hh:mm:ss, with more digits for the hours when they are needed.
void write_duration(Writer &writer, double duration) noexcept {
    std::uint64_t seconds = to_count(duration);
    writer.number(seconds / 3600, 2, '0');
    writer.text(":");
    writer.number(seconds / 60 % 60, 2, '0');
    writer.text(":");
    writer.number(seconds % 60, 2, '0');
}

// The bar and the percentage, both rounded down, so that only the whole is shown as the whole.
void write_bar(Writer &writer, double fraction) noexcept {
    double part = fraction > 0 ? std::min(fraction, 1.0) : 0.0;
    unsigned filled = static_cast<unsigned>(part * bar_cells);

    writer.text("▕");
    for (unsigned cell = 0; cell < bar_cells; cell++)
        writer.text(cell < filled ? "█" : "░");
    writer.text("▏");
    writer.number(static_cast<std::uint64_t>(part * 100), 3, ' ');
    writer.text(" %");
}

}  // namespace

double fraction(const Progress &progress) noexcept {
    if (progress.chunks == 0)
        return 0;
    if (progress.chunks_done >= progress.chunks)
        return 1;

    double mean = progress.chunks_done > 0
                      ? static_cast<double>(progress.bytes_done) / progress.chunks_done
                      : static_cast<double>(progress.bytes_expected) / progress.chunks;
    std::uint32_t in_flight =
        std::min(progress.chunks_in_flight, progress.chunks - progress.chunks_done);
    double credit = 0;
    if (mean > 0)
        credit = std::min(static_cast<double>(progress.bytes_in_flight) / mean,
                          in_flight * in_flight_limit);
    return (progress.chunks_done + credit) / progress.chunks;
}

double rate(std::uint64_t n, double seconds) noexcept {
    if (!(seconds > 0))
        return 0;
    double per_second = static_cast<double>(n) / seconds;
    return std::isfinite(per_second) ? per_second : 0;
}

double eta_seconds(double fraction, double elapsed) noexcept {
    if (fraction >= 1)
        return 0;
    if (!(fraction > 0) || !(elapsed >= 0))
        return -1;
    double left = elapsed / fraction * (1 - fraction);
    return std::isfinite(left) ? left : -1;
}

std::size_t format_line(const LineFacts &facts, std::span<char> out) noexcept {
    Writer writer(out);

    writer.number(facts.job);
    writer.text(" ");
    writer.text(facts.name);
    writer.text(" ");
    write_bar(writer, facts.fraction);
    writer.text("  ");
    write_count(writer, facts.rows);
    writer.text(" rows  ");
    write_count(writer, to_count(facts.rows_per_s));
    writer.text(" rows/s  ");

    if (facts.state != "copying") {
        writer.text(facts.state);
        if (facts.state == "done") {
            writer.text(" in ");
            write_duration(writer, facts.elapsed_seconds);
        }
        return writer.length();
    }

    writer.text("eta ");
    if (facts.eta_seconds >= 0 && facts.eta_seconds < eta_limit)
        write_duration(writer, facts.eta_seconds);
    else
        writer.text("--:--:--");
    writer.text("  ");
    writer.number(facts.workers);
    writer.text("/");
    writer.number(facts.workers_wanted);
    writer.text(" workers");
    return writer.length();
}

}  // namespace fastcopy::core
