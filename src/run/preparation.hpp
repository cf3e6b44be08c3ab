// Preparation: from an empty hand to a committed plan, and an answer to the session that waits for it.
//
//     a new job      connect to the source, export a snapshot, check both tables, plan
//                    launch workers, which wait at the gate
//                    truncate the target if asked, write the ledger, commit; open the gate
//
//     a resumed one  connect to the source, export a snapshot, check both tables again
//                    compare the markers of then and now; launch workers, and have them count the rows of
//                    the chunks that are done (plan/markers.hpp says why)
//                    put the ledger's row back into state copying, commit; open the gate
//
// Whatever fails before the commit leaves no trace: the error is the answer, and the ledger is as it was.
#ifndef FASTCOPY_RUN_PREPARATION_HPP
#define FASTCOPY_RUN_PREPARATION_HPP

#include "run/running_job.hpp"

namespace fastcopy::run {

// Returns with the gate open, the crew at work and the session answered.
void prepare(RunningJob *job);

}  // namespace fastcopy::run

#endif
