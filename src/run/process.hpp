// What coordinator and worker have in common: their life as background processes of a job.
//
// Each of them runs one body under the same frame: signals, shared memory, the connection to the
// database, and what becomes of an error. An error never leaves the process by itself: the first one of
// a job is recorded in the job's area, whose readers raise it (fastcopy.start) or write it to the
// ledger (the coordinator).
#ifndef FASTCOPY_RUN_PROCESS_HPP
#define FASTCOPY_RUN_PROCESS_HPP

#include "job/area.hpp"
#include "job/registry.hpp"
#include "source/credentials.hpp"

namespace fastcopy::run {

inline constexpr const char *coordinator_type = "fastcopy coordinator";
inline constexpr const char *worker_type = "fastcopy worker";

// Asks the postmaster for a process; false when there is no free background worker slot.
bool launch(const char *type, const char *name, const char *entry_function, job::SlotRef slot,
            BackgroundWorkerHandle **handle);

// The same for a process that is no job's.
bool launch(const char *type, const char *name, const char *entry_function, Datum argument,
            BgWorkerStartTime start_time, BackgroundWorkerHandle **handle);

// What the job may connect with, as it was decided in fastcopy.start.
source::Trust trust_of(const job::Request &request);

// The ERROR of a chunk whose rows other servers, of foreign tables, may have stored: they commit before this one does,
// and nobody knows what became of a COMMIT that was not answered.
[[noreturn]] void raise_unresolved(int32 chunk, const char *target_table, const char *why);

// First thing in a process: signal handlers of a regular backend (SIGTERM ends it, SIGINT cancels).
void install_signal_handlers();

// In a transaction: the settings of the calling session, and those that are the job's own. They hold until the
// process ends, but what the transaction runs may change them: call it in each.
void take_on_settings(const job::Request &request);

// Takes in a changed configuration file, if there is one. Call it where settings may change: not in the
// middle of a chunk.
void reload_configuration();

// Shows what the process does in pg_stat_activity, on the process title and in log lines.
void show_activity(const char *application_name, const char *statement);

}  // namespace fastcopy::run

#endif
