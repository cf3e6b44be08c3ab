// Classification of transient errors, and retry back-off.
//
// A chunk or a definition is one transaction, so a retry is always safe. It is worthwhile after an error that is
// not caused by the data or the job: a lost connection, a server that restarts or has no connection
// slot left, a deadlock.
#ifndef FASTCOPY_RUN_RETRY_HPP
#define FASTCOPY_RUN_RETRY_HPP

#include "pg/postgres.hpp"

namespace fastcopy::run::retry {

bool is_transient(int sqlerrcode);

// Whether a connection has failed. Which of several it was, the caller knows.
bool is_of_connection(int sqlerrcode);

// Whether the error is a deadlock or a serialization failure.
bool is_conflict(int sqlerrcode);

// Waits before retry number `retries` + 1: the first delay, doubled with each retry up to half a
// minute, times a random factor between one half and one, so that workers do not retry in step.
void back_off(int first_delay_ms, int retries);

}  // namespace fastcopy::run::retry

#endif
