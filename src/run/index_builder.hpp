// A worker in a job's last phase: it builds the indexes that were set aside, one at a time.
//
// Each index is built and marked in the ledger in one transaction. All builds of a job share the
// caller's maintenance_work_mem and max_parallel_maintenance_workers.
#ifndef FASTCOPY_RUN_INDEX_BUILDER_HPP
#define FASTCOPY_RUN_INDEX_BUILDER_HPP

#include "run/process.hpp"

namespace fastcopy::run {

// Builds indexes until none is left to claim.
void build_indexes(job::JobSlot *job_slot, job::WorkerSlot *me, job::Area *area,
                   const job::Request &request);

}  // namespace fastcopy::run

#endif
