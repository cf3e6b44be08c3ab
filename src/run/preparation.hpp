// Preparation: up to the commit of a new job's plan, or of the decision to resume a job.
//
//     a new job      connect to the source, export a snapshot, check both tables, plan
//                    launch workers, which wait at the gate
//                    truncate the target if asked, write the ledger, commit
//
//     a resumed one  connect to the source, export a snapshot, check both tables again
//                    compare the markers of then and now; launch workers and have them count the
//                    rows of the chunks that are done (plan/markers.hpp has the reasons)
//                    set the ledger's row back to state copying, commit
//
// A failure before the commit leaves no trace: the error is the answer, and the ledger is
// unchanged.
#ifndef FASTCOPY_RUN_PREPARATION_HPP
#define FASTCOPY_RUN_PREPARATION_HPP

#include "run/running_job.hpp"

namespace fastcopy::run {

// Returns with the transaction committed and the crew waiting at the gate, which the caller opens.
void prepare(RunningJob *job);

}  // namespace fastcopy::run

#endif
