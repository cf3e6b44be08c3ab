// The foreign keys that a job checks itself (sink/foreign_keys): found before it starts, checked at
// its end.
#ifndef FASTCOPY_RUN_FOREIGN_KEYS_HPP
#define FASTCOPY_RUN_FOREIGN_KEYS_HPP

#include "run/running_job.hpp"

namespace fastcopy::run {

// Whether the job sets aside foreign keys that triggers would check: rows of several tables come in
// no particular order. Tables that it creates have none yet.
inline bool sets_foreign_keys_aside(const job::Request &request) {
    return request.rebuild_indexes || (request.clone && !request.create);
}

// In the transaction that writes the ledger, with the target's tables locked if keys are to be set
// aside.
void note_foreign_keys(RunningJob *job);

// Marks keys that are set aside not valid again if they were validated meanwhile: in the
// transaction that resumes a job,
void keep_aside(RunningJob *job);
// and once the workers of a failed job have exited, outside of any transaction. Waits a few seconds
// for locks. Logs errors; a cancel is one.
void keep_aside_after_failure(RunningJob *job);

// Checks the open keys one by one. A violation is the job's error; the job can be resumed.
void check_foreign_keys(RunningJob *job);

}  // namespace fastcopy::run

#endif
