// Background processes: how they are launched, and the frame that each of them runs in.
//
// A process runs one body under guarded(): connected to the database as a role, in a memory context
// of its own. An error never leaves it: the first error of several processes is recorded in their
// common report in shared memory, whose readers raise it or write it to the ledger.
#ifndef FASTCOPY_PG_BACKGROUND_HPP
#define FASTCOPY_PG_BACKGROUND_HPP

#include "pg/error_report.hpp"
#include "pg/identity.hpp"

namespace fastcopy::pg {

// What the postmaster needs to know to start a process of this library, once.
BackgroundWorker describe(const char *type, const char *name, const char *entry_function,
                          BgWorkerStartTime start_time);

// Asks the postmaster for a process; false if no background worker slot is free.
bool launch(const char *type, const char *name, const char *entry_function, Datum argument,
            BgWorkerStartTime start_time, BackgroundWorkerHandle **handle);

// The ERROR of work that cannot start without a process, and the WARNING if fewer workers run than
// were wanted.
[[noreturn]] void raise_no_worker_slot();
void warn_of_fewer_workers(int launched, int wanted);

// Installs the signal handlers of a regular backend: SIGTERM ends the process, SIGINT cancels. Call
// it first.
void install_signal_handlers();

// What guarded() needs to know of a process.
struct Frame {
    const char *name;  // for its memory context; a constant
    const Identity *identity;
    ErrorReport *report;
    const int32 *chunk;         // the chunk at hand, for the report; 0: none
    bool reports_terminations;  // see watch_fatal
    const bool
        *logs_errors;  // whether an error goes to the server log too, as of the moment it is caught
};

// Connects to the database and runs the body. False if an ERROR has ended it: it is recorded then,
// and the transaction rolled back. Its SQLSTATE may be any, as functions can raise their own.
bool guarded(const Frame &frame, void (*body)(), int *sqlerrcode);

// Rereads the configuration file if it has changed. Call it where settings may change: not within a
// chunk.
void reload_configuration();

// Shows what the process does in pg_stat_activity, in the process title and in log lines.
void show_activity(const char *application_name, const char *statement);

}  // namespace fastcopy::pg

#endif
