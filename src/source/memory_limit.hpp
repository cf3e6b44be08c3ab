// How much a source may have libpq keep in memory.
//
// libpq keeps every parameter that a source reports, however many there are, and a message until all of it has
// come. A source of ill will could go on until the server has no memory left. libpq does not tell what it keeps,
// but malloc tells what all libraries of the process keep, and in a background process that grows by little else.
//
// A process has one connection at a time, so the state is the process's.
#ifndef FASTCOPY_SOURCE_MEMORY_LIMIT_HPP
#define FASTCOPY_SOURCE_MEMORY_LIMIT_HPP

namespace fastcopy::source::memory_limit {

// Counts from here on, for a new connection.
void begin();
// From here on there may be rows of COPY, which may have up to 1 GB.
void allow_large_rows();
// Call it whenever libpq has read; it looks now and then. An ERROR when too much is kept.
void check();

}  // namespace fastcopy::source::memory_limit

#endif
