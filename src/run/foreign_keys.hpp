// The foreign keys that a job checks itself (sink/foreign_keys): which, before it begins; and their checks, in the end.
#ifndef FASTCOPY_RUN_FOREIGN_KEYS_HPP
#define FASTCOPY_RUN_FOREIGN_KEYS_HPP

#include "run/running_job.hpp"

namespace fastcopy::run {

// In the transaction that writes the ledger, with the target's tables locked if keys are to be set aside.
void note_foreign_keys(RunningJob *job);

// Marks those that are set aside not valid again, if somebody has validated them: in the transaction that takes a job up
// again,
void keep_aside(RunningJob *job);
// and once the workers of a job that has failed are gone, outside of any transaction. The log says so if it cannot be.
void keep_aside_after_failure(RunningJob *job);

// Checks those that are still open, one after the other. An orphan is the job's error; it can be resumed.
void check_foreign_keys(RunningJob *job);

}  // namespace fastcopy::run

#endif
