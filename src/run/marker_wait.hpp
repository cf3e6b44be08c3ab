// The wait for the source's WAL, beside the copying.
//
// A snapshot can be compared with later ones, when the job is resumed, only once the source's WAL
// up to the snapshot is on disk: a crash of the source may lose what is not (plan/markers). That
// takes up to three times its wal_writer_delay. Rows are copied meanwhile, but no chunk may be done
// before, so workers wait before their first commits. A job of one chunk does not wait: once that
// is done, there is nothing left to resume.
//
// The coordinator asks the source, writes the snapshot to the ledger, and wakes the workers.
#ifndef FASTCOPY_RUN_MARKER_WAIT_HPP
#define FASTCOPY_RUN_MARKER_WAIT_HPP

#include "run/running_job.hpp"

namespace fastcopy::run::marker_wait {

// How often the source is asked.
inline constexpr long look_every_ms = 20;

// By the coordinator, before the gate opens: workers will wait if the marker is not durable yet.
void begin(RunningJob *job, const plan::MarkerWait &wait);

// Whether the coordinator has to ask the source, and has a connection to do so.
bool is_pending(const RunningJob *job);

// By the coordinator: asks the source once, and writes the ledger if the marker is durable.
void look(RunningJob *job);

// By a worker, with all rows of a chunk inserted: returns when the chunk may be marked done.
void wait(job::Area *area, const job::JobSlot *slot);

}  // namespace fastcopy::run::marker_wait

#endif
