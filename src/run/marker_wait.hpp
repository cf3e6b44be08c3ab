// The wait for the source's WAL, beside the copying.
//
// A snapshot tells, when the job is resumed, what has changed since: but only once the WAL up to it is on disk there, since a
// crash of the source may lose what is not (plan/markers). That takes up to three times its wal_writer_delay. Rows can be
// copied meanwhile, but no chunk may be done before: so workers wait for it before they commit, the first time.
// Only a job of one chunk does not care: once that is done, there is nothing left to be read by another snapshot.
//
// The coordinator asks the source, writes the snapshot to the ledger, and wakes the workers.
#ifndef FASTCOPY_RUN_MARKER_WAIT_HPP
#define FASTCOPY_RUN_MARKER_WAIT_HPP

#include "run/running_job.hpp"

namespace fastcopy::run::marker_wait {

// How often the source is asked.
inline constexpr long look_every_ms = 20;

// By the coordinator, before workers may begin: there is something to wait for, if the marker is not durable yet.
void begin(RunningJob *job, const plan::MarkerWait &wait);

// Whether the coordinator has to look, and can.
bool is_pending(const RunningJob *job);

// By the coordinator: asks the source once, and writes the ledger if it has come. Errors are those of the connection.
void look(RunningJob *job);

// By a worker, with all rows of a chunk inserted: returns when the chunk may be marked done.
void wait(job::Area *area, const job::JobSlot *slot);

}  // namespace fastcopy::run::marker_wait

#endif
