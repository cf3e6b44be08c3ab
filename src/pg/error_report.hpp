// Errors that cross a process boundary.
//
// A coordinator's or worker's error has to reach two readers in other processes: the session that
// called fastcopy.start, and the ledger. An ErrorReport is the whole of an ErrorData that matters
// to them (SQLSTATE, message, detail, hint, context), in shared memory, in fixed buffers; longer
// texts are cut at a character boundary. It is written once: the first error of a job is its cause,
// what follows is fallout.
//
// Two kinds of errors arrive here. An ERROR is caught by PG_CATCH and recorded by the catcher. A
// FATAL (pg_terminate_backend, a role over its connection limit) cannot be caught; watch_fatal()
// makes the process record it from the log hook, before it exits.
#ifndef FASTCOPY_PG_ERROR_REPORT_HPP
#define FASTCOPY_PG_ERROR_REPORT_HPP

#include "pg/postgres.hpp"

namespace fastcopy::pg {

struct ErrorReport {
    enum State : uint32 { empty, writing, complete };
    pg_atomic_uint32 state;  // its one writer has moved it from empty to writing
    int sqlerrcode;
    int32 chunk;  // 0: not in a chunk
    char message[8192];
    char detail[8192];
    char hint[2048];
    char context[8192];
};

void init(ErrorReport *report);

// True once an error is recorded and may be read.
bool is_complete(ErrorReport *report);

// Copies an error into the report unless it has one already. Raises nothing.
void record(ErrorReport *report, const ErrorData *error, int32 chunk) noexcept;

// Raises the recorded error in this process at the given level, with its SQLSTATE and all its
// parts. `prefix_context`, when given, is added as a line of context.
void raise(const ErrorReport *report, int elevel, const char *prefix_context = nullptr);

// Logs a caught, non-fatal error, prefixed with its consequence.
void report_caught(int elevel, const ErrorData *error, const char *consequence);

// From now on the first FATAL of this process is recorded too, with the value of `chunk` at that
// time. `terminations`: also that of pg_terminate_backend or a shutdown of the server.
void watch_fatal(ErrorReport *report, const int32 *chunk, bool terminations);

}  // namespace fastcopy::pg

#endif
