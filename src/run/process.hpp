// What a job's coordinator and workers have in common beyond pg/background.hpp: how they are
// launched, and under which settings they run.
#ifndef FASTCOPY_RUN_PROCESS_HPP
#define FASTCOPY_RUN_PROCESS_HPP

#include "job/area.hpp"
#include "job/registry.hpp"
#include "pg/background.hpp"

namespace fastcopy::run {

inline constexpr const char *coordinator_type = "fastcopy coordinator";
inline constexpr const char *worker_type = "fastcopy worker";

// Launches a process of the job whose slot, or whose worker's slot, this is; false if no background
// worker slot is free.
bool launch(const char *type, const char *name, const char *entry_function, job::SlotRef slot,
            BackgroundWorkerHandle **handle);

// The ERROR of a chunk whose rows may be stored on the servers of foreign tables: these commit
// before this one does, and the outcome of a COMMIT without an answer is unknown.
[[noreturn]] void raise_unresolved(int32 chunk, const char *target_table, const char *why);

// In a transaction: applies the settings of the calling session, and the job's own. Triggers and
// functions that a transaction runs may change them, so each transaction calls this.
void take_on_settings(const job::Request &request);

}  // namespace fastcopy::run

#endif
