// Waiting for the job's background processes without a deadlock.
//
// PostgreSQL's deadlock detector sees waits for locks only. If a session waits on its latch for a
// job, while a process of the job waits for a lock that the session's transaction holds, that is a
// deadlock which the detector cannot see. So the session checks for it from time to time, and
// raises an error.
#ifndef FASTCOPY_API_WAITING_HPP
#define FASTCOPY_API_WAITING_HPP

#include "job/registry.hpp"

namespace fastcopy::api {

// How often a waiting session checks whether it blocks its job.
inline constexpr long look_every_ms = 500;

// True if the process waits, directly or through others, for a lock of this session's transaction.
bool waits_for_me(pid_t pid);

// The same for the coordinator and all workers of a job.
bool job_waits_for_me(job::SlotRef job);

// The ERROR of a session that blocks what it waits for: a copy into the table, or a comparison with
// it. The name is quoted if need be.
[[noreturn]] void raise_blocked_copy(const char *target_table);
[[noreturn]] void raise_blocked_comparison(const char *target_table);

}  // namespace fastcopy::api

#endif
