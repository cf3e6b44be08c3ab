// A limit on the memory that a source can make libpq allocate.
//
// libpq keeps every parameter that a server reports, however many there are, and each message until
// it is complete. A malicious source could exhaust the server's memory. libpq does not report its
// memory, but malloc reports the memory of all libraries of the process, and in a background
// process little else makes it grow.
//
// A process has one connection at a time, so the state is the process's.
#ifndef FASTCOPY_SOURCE_MEMORY_LIMIT_HPP
#define FASTCOPY_SOURCE_MEMORY_LIMIT_HPP

namespace fastcopy::source::memory_limit {

// Starts counting for a new connection.
void begin();
// Raises the limit for rows of COPY, which may have up to 1 GB.
void allow_large_rows();
// Checks from time to time; called whenever libpq has read. An ERROR if the limit is exceeded.
void check();

}  // namespace fastcopy::source::memory_limit

#endif
