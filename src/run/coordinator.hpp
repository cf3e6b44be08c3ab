// The coordinator: the background worker that owns a job.
//
//     prepare    see run/preparation.hpp; then open the gate, and answer the session that waits: ready
//     watch      until every chunk is done or something fails: keep as many workers as are wanted
//     indexes    those that were set aside are built by a crew of the same size
//     end        ANALYZE the target, write the end state to the ledger
//
// Whatever fails before the commit leaves no trace: the error is the answer to fastcopy.start. What fails
// after it is written to the ledger as the job's error.
//
// The coordinator holds the source's snapshot in an open transaction all the while; workers import it.
// When the coordinator is terminated it takes its workers along, and the job reads `interrupted`: the
// ledger calls it running, and nobody owns it.
#ifndef FASTCOPY_RUN_COORDINATOR_HPP
#define FASTCOPY_RUN_COORDINATOR_HPP

#include "run/process.hpp"

namespace fastcopy::run {

bool launch_coordinator(job::SlotRef job, BackgroundWorkerHandle **handle);

}  // namespace fastcopy::run

extern "C" PGDLLEXPORT void fastcopy_coordinator_main(Datum argument);

#endif
