// A worker that makes definitions once all rows are in: indexes that were set aside, and what
// fastcopy.clone creates after the rows.
//
// Each definition is made and marked in the ledger in one transaction, which is retried after a
// transient error, as chunks are. All makers of a job share the
// caller's maintenance_work_mem and max_parallel_maintenance_workers.
#ifndef FASTCOPY_RUN_DEFINITION_MAKER_HPP
#define FASTCOPY_RUN_DEFINITION_MAKER_HPP

#include "run/process.hpp"

namespace fastcopy::run {

// Makes definitions until none of the stage is left to claim.
void make_definitions(job::JobSlot *job_slot, job::WorkerSlot *me, job::Area *area,
                      const job::Request &request);

// Makes an index or constraint of a table whose rows are all in, while rows of others are copied.
// False if there is none, or if the table's rows are not all in.
bool make_definition_of(job::JobSlot *job_slot, job::WorkerSlot *me, job::Area *area,
                        const job::Request &request, int32 table);

}  // namespace fastcopy::run

#endif
