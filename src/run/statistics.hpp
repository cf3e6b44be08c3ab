// A job's end: ANALYZE of its targets, by several workers at a time.
//
// Each leaf of a partitioned table is analyzed once; then the partitioned tables above them, whose
// statistics come from a sample of all leaves. All others, and tables that engines keep, get one
// ANALYZE by their name.
#ifndef FASTCOPY_RUN_STATISTICS_HPP
#define FASTCOPY_RUN_STATISTICS_HPP

#include "run/running_job.hpp"

namespace fastcopy::run {

// Logs ANALYZE errors but does not fail the job: the rows are in. A cancel is no such error.
void analyze_targets(RunningJob *job);

// A worker's part of that: analyzes leaves until none is left.
void analyze_leaves(job::JobSlot *job_slot, const job::Area *area, const job::Request &request);

}  // namespace fastcopy::run

#endif
