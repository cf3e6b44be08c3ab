// Waiting of a session for its own background processes, and the trap in it.
//
// PostgreSQL's deadlock detector sees waits for locks. A session that waits on its latch for a job, while a
// process of the job waits for a lock that the session's transaction holds, is a deadlock that it cannot
// see: so the session looks for itself, now and then, and ends it with an error.
#ifndef FASTCOPY_API_WAITING_HPP
#define FASTCOPY_API_WAITING_HPP

#include "job/registry.hpp"

namespace fastcopy::api {

// How often a waiting session looks whether it stands in its job's way.
inline constexpr long look_every_ms = 500;

// True if the process waits, directly or through others, for a lock of this session's transaction.
bool waits_for_me(pid_t pid);

// The same for the coordinator and all workers of a job.
bool job_waits_for_me(job::SlotRef job);

[[noreturn]] void raise_blocked_by_me(const char *target_table);

}  // namespace fastcopy::api

#endif
