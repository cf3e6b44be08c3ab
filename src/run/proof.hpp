// What proves that a job's rows are in its target.
//
// A job says that it is done only if, in the transaction that says so,
//
//   - the ledger has each of its chunks done, each index that was set aside built, and each foreign key checked
//     that no trigger has checked,
//   - each chunk has stored as many rows as the source sent, but where the target may drop some,
//   - the target has all the files that it had at the start, or that workers found on the way,
//   - nobody has cancelled it; from then on nobody can.
//
// Counters in shared memory lead to this point, they do not decide.
#ifndef FASTCOPY_RUN_PROOF_HPP
#define FASTCOPY_RUN_PROOF_HPP

#include "job/ledger.hpp"
#include "run/running_job.hpp"

namespace fastcopy::run::proof {

// An ERROR if the target may have lost rows that the job's chunks have put there.
void check_target(const job::ledger::Former &former);

// An ERROR unless all of the above holds. Within the transaction that ends the job.
void check_all(RunningJob *job);

}  // namespace fastcopy::run::proof

#endif
