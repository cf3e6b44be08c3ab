// A job's end: ANALYZE of the target.
#ifndef FASTCOPY_RUN_STATISTICS_HPP
#define FASTCOPY_RUN_STATISTICS_HPP

#include "run/running_job.hpp"

namespace fastcopy::run {

// Logs ANALYZE errors but does not fail the job: the rows are in. A cancel is no such error.
void try_to_analyze(RunningJob *job);

}  // namespace fastcopy::run

#endif
