// Which errors pass by themselves, and how long to wait for that.
//
// A chunk is one transaction, so trying it again is always safe. It is worth it when the error tells of a
// moment (a connection that broke, a server that restarts or has no slot left, a deadlock) rather than of
// the data or of the job.
#ifndef FASTCOPY_RUN_RETRY_HPP
#define FASTCOPY_RUN_RETRY_HPP

#include "pg/postgres.hpp"

namespace fastcopy::run::retry {

bool may_pass(int sqlerrcode);

// Whether the error is of a connection: which of several broke is for the caller to know.
bool is_of_connection(int sqlerrcode);

// Whether transactions got in each other's way.
bool is_conflict(int sqlerrcode);

// Waits before retry number `retries` + 1: the first delay, doubled each time up to half a minute, and of
// that a random part between half and all, so that workers do not come back in step.
void back_off(int first_delay_ms, int retries);

}  // namespace fastcopy::run::retry

#endif
