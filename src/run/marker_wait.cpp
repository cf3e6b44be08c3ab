#include "run/marker_wait.hpp"

#include "job/ledger.hpp"
#include "pg/wait.hpp"
#include "run/snapshot.hpp"

namespace fastcopy::run::marker_wait {

void begin(RunningJob *job, const plan::MarkerWait &wait) {
    job->marker = wait;
    if (wait.snapshot == nullptr)
        return;
    job->marker.snapshot = MemoryContextStrdup(TopMemoryContext, wait.snapshot);
    pg_atomic_write_u32(&job->area->marker_pending, 1);
}

bool is_pending(const RunningJob *job) {
    return job->marker.snapshot != nullptr && job->connection != nullptr;
}

void look(RunningJob *job) {
    plan::Durable durable = plan::is_durable(job->connection, job->marker);
    if (durable == plan::Durable::not_yet)
        return;
    if (durable == plan::Durable::yes) {
        MemoryContext context = CurrentMemoryContext;
        pg::begin_ledger_transaction();
        job::ledger::write_snapshot(job->area->job, job->marker.snapshot);
        pg::commit_transaction();
        MemoryContextSwitchTo(context);
    }
    job->marker.snapshot = nullptr;
    pg_atomic_write_u32(&job->area->marker_pending, 0);
    wake(&job->crew);
}

void wait(job::Area *area, const job::JobSlot *slot) {
    if (pg_atomic_read_u32(const_cast<pg_atomic_uint32 *>(&slot->chunks)) == 1)
        return;
    // A coordinator without a connection cannot ask the source, and may need a worker to export the
    // snapshot: do not wait then. A job without the marker can only be resumed with accept_changes.
    while (pg_atomic_read_u32(&area->marker_pending) != 0 &&
           snapshot::custody(area) == snapshot::Custody::held)
        (void)pg::wait_latch(5 * look_every_ms);
}

}  // namespace fastcopy::run::marker_wait
