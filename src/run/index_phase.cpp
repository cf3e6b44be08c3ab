#include "run/index_phase.hpp"

#include "job/ledger.hpp"
#include "pg/wait.hpp"

namespace fastcopy::run {

namespace {

// Counts by the ledger: a worker may have been terminated between the commit of its index and the
// count.
int count_indexes_done(RunningJob *job) {
    pg::begin_ledger_transaction();
    int done = job::ledger::count_done_indexes(job->area->job);
    pg::commit_transaction();
    pg_atomic_write_u32(&job->slot->indexes_done, static_cast<uint32>(done));
    return done;
}

// Keeps as many workers as are wanted while unclaimed indexes are left.
void staff_index_builds(RunningJob *job) {
    auto indexes = static_cast<int>(pg_atomic_read_u32(&job->slot->indexes));
    auto claimed = static_cast<int>(pg_atomic_read_u32(&job->slot->next_index));
    int wanted = static_cast<int>(pg_atomic_read_u32(&job->slot->workers_wanted));
    int now = active(&job->crew);
    if (now > wanted)
        shrink(&job->crew, wanted);
    else if (now < wanted && claimed < indexes)
        (void)grow(&job->crew, Min(wanted, now + indexes - claimed));
}

}  // namespace

void build_indexes(RunningJob *job) {
    auto indexes = static_cast<int>(pg_atomic_read_u32(&job->slot->indexes));
    pg::begin_ledger_transaction();
    job::ledger::begin_indexing(job->area->job);
    pg::commit_transaction();
    move_to(job, job::State::indexing);
    for (;;) {
        check_cancel(job);
        pg::reload_configuration();
        collect(&job->crew);
        raise_if_failed(job);
        if (job->crew.count == 0) {
            if (count_indexes_done(job) >= indexes)
                return;
            pg_atomic_write_u32(&job->slot->next_index, 0);
        }
        staff_index_builds(job);
        if (job->crew.count == 0)
            pg::raise_no_worker_slot();
        (void)pg::wait_latch();
    }
}

}  // namespace fastcopy::run
