// A job's end: the sequences of the target's columns are moved on (sink/sequences).
//
// Before the job is called done, so that one that is interrupted here is resumed here: to do it twice is a no-op. All
// rows are in by then, so nothing that goes wrong fails the job. What could not be done is the job's notice:
// in fastcopy.status, and a NOTICE to who waits for the job.
#ifndef FASTCOPY_RUN_SEQUENCES_HPP
#define FASTCOPY_RUN_SEQUENCES_HPP

#include "run/running_job.hpp"

namespace fastcopy::run {

void move_sequences(RunningJob *job);

}  // namespace fastcopy::run

#endif
