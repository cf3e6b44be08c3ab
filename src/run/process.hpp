// What a job's coordinator and workers have in common beyond pg/background.hpp: how they are launched, and under which
// settings they run.
#ifndef FASTCOPY_RUN_PROCESS_HPP
#define FASTCOPY_RUN_PROCESS_HPP

#include "job/area.hpp"
#include "job/registry.hpp"
#include "pg/background.hpp"

namespace fastcopy::run {

inline constexpr const char *coordinator_type = "fastcopy coordinator";
inline constexpr const char *worker_type = "fastcopy worker";

// Launches a process of the job whose slot, or whose worker's slot, this is; false if no background worker slot is
// free.
bool launch(const char *type, const char *name, const char *entry_function, job::SlotRef slot,
            BackgroundWorkerHandle **handle);

// The ERROR of a chunk whose rows other servers, of foreign tables, may have stored: they commit before this one does,
// and nobody knows what became of a COMMIT that was not answered.
[[noreturn]] void raise_unresolved(int32 chunk, const char *target_table, const char *why);

// In a transaction: the settings of the calling session, and those that are the job's own. They hold until the
// process ends, but what the transaction runs may change them: call it in each.
void take_on_settings(const job::Request &request);

}  // namespace fastcopy::run

#endif
