#include "source/memory_limit.hpp"

#include "pg/library_memory.hpp"
#include "source/answer.hpp"

namespace fastcopy::source::memory_limit {

namespace {

constexpr size_t for_answers = size_t{128} << 20;
// A message of 1 GB, in a buffer that libpq may have allocated somewhat larger.
constexpr size_t for_rows = size_t{1536} << 20;
// Asking malloc takes microseconds; libpq reads at most about 16 kB at a time, or one large
// message.
constexpr unsigned reads_between_looks = 64;

size_t at_begin = 0;
size_t limit = for_answers;
unsigned reads = 0;

}  // namespace

void begin() {
    at_begin = pg::library_memory();
    limit = for_answers;
    reads = 0;
}

void allow_large_rows() {
    limit = for_rows;
}

void check() {
    if (++reads % reads_between_looks != 0)
        return;
    if (pg::library_memory() > at_begin + limit)
        raise_odd_answer(psprintf(_("It takes more than %zu MB of memory."), limit >> 20));
}

}  // namespace fastcopy::source::memory_limit
