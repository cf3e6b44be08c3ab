// The coordinator: the background worker that owns a job.
//
//     prepare    see run/preparation.hpp; then open the gate, and answer the waiting session: ready
//     watch      until every chunk is done or something fails: keep as many workers as are wanted
//     indexes    a crew of the same size builds those that were set aside
//     end        check foreign keys, ANALYZE the target, advance sequences, write the end state
//
// A failure before the commit of the preparation leaves no trace: the error is the answer to
// fastcopy.start. A later failure is written to the ledger as the job's error.
//
// The coordinator holds the source's snapshot in an open transaction until all chunks are done;
// workers import it. A coordinator that is terminated ends its workers, and the job reads
// `interrupted`: the ledger calls it running, but no coordinator owns it.
#ifndef FASTCOPY_RUN_COORDINATOR_HPP
#define FASTCOPY_RUN_COORDINATOR_HPP

#include "run/process.hpp"

namespace fastcopy::run {

bool launch_coordinator(job::SlotRef job, BackgroundWorkerHandle **handle);

}  // namespace fastcopy::run

extern "C" PGDLLEXPORT void fastcopy_coordinator_main(Datum argument);

#endif
