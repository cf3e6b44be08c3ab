// A job's end: the sequences of the target's columns are advanced (sink/sequences).
//
// This comes before the job is done, so that a job interrupted here repeats it: doing it twice is a
// no-op. All rows are in, so a failure does not fail the job. It becomes a notice of the job: in
// fastcopy.status, and as a NOTICE to sessions that wait for the job.
#ifndef FASTCOPY_RUN_SEQUENCES_HPP
#define FASTCOPY_RUN_SEQUENCES_HPP

#include "run/running_job.hpp"

namespace fastcopy::run {

void move_sequences(RunningJob *job);

}  // namespace fastcopy::run

#endif
