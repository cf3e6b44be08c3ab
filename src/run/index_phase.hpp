// The coordinator's part of building the indexes that were set aside: it staffs the crew until all
// are built.
#ifndef FASTCOPY_RUN_INDEX_PHASE_HPP
#define FASTCOPY_RUN_INDEX_PHASE_HPP

#include "run/running_job.hpp"

namespace fastcopy::run {

// Returns when all indexes are built. When workers have exited without an outcome, the next ones
// look at all indexes again, and skip those that are built.
void build_indexes(RunningJob *job);

}  // namespace fastcopy::run

#endif
