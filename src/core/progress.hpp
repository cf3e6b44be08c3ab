/*
 * progress: from counters to "61 %, 7 seconds left", and to the progress line for users.
 *
 * The counters come from the registry, where each has one writer and no lock, so a snapshot of them
 * may be torn: a chunk already counted as done can still be counted as in flight, or the reverse.
 * Everything here is pure and takes any combination of values; it never divides by zero and never
 * reports 100 % before the last chunk is done.
 *
 * Progress is counted in chunks, not in bytes. The planner knows sizes on the source's disk, while
 * the workers count bytes on the wire, and the two differ by any factor; but chunks are planned to
 * be of about equal size, and all are known from the start. Bytes on the wire only serve to tell
 * how far the chunks in flight have come, measured against the mean of the chunks already done.
 *
 * Formatting goes into the caller's buffer, allocates nothing, does not depend on the locale, and
 * cuts a line that does not fit at a character boundary of UTF-8. The text is not NUL-terminated.
 */
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace fastcopy::core {

// One look at a job's counters.
struct Progress {
    std::uint32_t chunks;            // planned
    std::uint32_t chunks_done;       // committed
    std::uint32_t chunks_in_flight;  // claimed by a worker, not yet committed
    std::uint64_t bytes_done;        // received for the chunks that are done
    std::uint64_t bytes_in_flight;   // received so far for the chunks in flight
    std::uint64_t bytes_expected;    // the planner's estimate for the whole table
};

// The part of the work that is done, from 0 to 1; 1 only when all chunks are. A job without a plan
// (no chunks) has done nothing.
double fraction(const Progress &progress) noexcept;

// n per second; 0 while no time has passed.
double rate(std::uint64_t n, double seconds) noexcept;

// The seconds left at the mean speed so far; negative if it is not known yet.
double eta_seconds(double fraction, double elapsed) noexcept;

// What a progress line shows.
struct LineFacts {
    std::int64_t job;
    std::string_view name;   // of the table
    std::string_view state;  // as in fastcopy.status
    double fraction;
    std::uint64_t rows;
    double rows_per_s;
    double eta_seconds;      // negative: unknown; shown while the state is "copying"
    double elapsed_seconds;  // shown when the state is "done"
    std::uint32_t workers;
    std::uint32_t workers_wanted;
};

// A buffer of this size holds any line whose name has up to 300 bytes.
constexpr std::size_t line_bytes = 512;

// Writes one line without a line end, such as (here cut in two)
//   42 public.orders ▕████████████░░░░░░░░▏ 61 %  12.4 M rows  2.10 M rows/s
//   eta 00:00:07  8/8 workers
// and returns its length in bytes. In a state other than "copying", the state takes
// the place of ETA and workers.
std::size_t format_line(const LineFacts &facts, std::span<char> out) noexcept;

}  // namespace fastcopy::core
