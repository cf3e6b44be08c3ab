// What proves that a job's rows are in its targets.
//
// A job ends as done only if, in the transaction that says so,
//
//   - the ledger has all of its chunks done, all indexes built that were set aside, and all foreign
//     keys checked that no trigger has checked,
//   - each chunk has stored as many rows as the source sent, unless the target may drop rows,
//   - the targets still have all the files that they had at the start, and those that workers added,
//   - the job has not been cancelled; from then on it cannot be.
//
// Counters in shared memory only say when to check.
#ifndef FASTCOPY_RUN_PROOF_HPP
#define FASTCOPY_RUN_PROOF_HPP

#include "job/ledger.hpp"
#include "run/running_job.hpp"

namespace fastcopy::run::proof {

// An ERROR if a target may have lost rows: of those that have done chunks, or of all.
enum class Targets { with_rows, all };
void check_targets(const job::ledger::ResumeState &former, Targets which);

// The same of one of them, with its files as they have been read.
void check_files(const job::ledger::ResumeTable &former, const job::TargetFiles &files);

// An ERROR unless all of the above holds. In the transaction that ends the job.
void check_all(RunningJob *job);

}  // namespace fastcopy::run::proof

#endif
