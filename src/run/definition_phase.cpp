#include "run/definition_phase.hpp"

#include "job/ledger.hpp"
#include "pg/wait.hpp"

namespace fastcopy::run {

namespace {

// The next stage with definitions that are not made. Counts those that are by the ledger: a worker
// may have been terminated between the commit of one and the count.
job::ledger::OpenStage find_stage(RunningJob *job, job::Stage last) {
    pg::begin_ledger_transaction();
    job::ledger::OpenStage next = job::ledger::next_stage(job->area->job, last);
    int done = job::ledger::count_done_definitions(job->area->job);
    pg::commit_transaction();
    pg_atomic_write_u32(&job->slot->definitions_done, static_cast<uint32>(done));
    return next;
}

// Opens the stage to workers that start from now on.
void open_stage(RunningJob *job, const job::ledger::OpenStage &stage) {
    pg_atomic_write_u32(&job->slot->leaves, 0);  // they analyze nothing
    pg_atomic_write_u32(&job->slot->stage, static_cast<uint32>(stage.stage));
    pg_atomic_write_u32(&job->slot->stage_exhausted, 0);
    pg_atomic_write_u32(&job->slot->most_makers,
                        static_cast<uint32>(job::is_parallel(stage.stage) ? stage.count : 1));
}

// Keeps as many workers as are wanted until one has found nothing left to claim.
void staff(RunningJob *job) {
    auto most = static_cast<int>(pg_atomic_read_u32(&job->slot->most_makers));
    int wanted = Min(static_cast<int>(pg_atomic_read_u32(&job->slot->workers_wanted)), most);
    int now = active(&job->crew);
    if (now > wanted)
        shrink(&job->crew, wanted);
    else if (now < wanted && pg_atomic_read_u32(&job->slot->stage_exhausted) == 0)
        (void)grow(&job->crew, wanted);
}

// Returns when all workers have exited. Those that have copied rows may still be there at first.
void make_stage(RunningJob *job, const job::ledger::OpenStage &stage) {
    open_stage(job, stage);
    for (;;) {
        check_cancel(job);
        pg::reload_configuration();
        collect(&job->crew);
        raise_if_failed(job);
        staff(job);
        if (job->crew.count == 0 && pg_atomic_read_u32(&job->slot->stage_exhausted) != 0)
            return;
        if (job->crew.count == 0)
            pg::raise_no_worker_slot();
        (void)pg::wait_latch();
    }
}

}  // namespace

void make_definitions(RunningJob *job, job::Stage last) {
    for (;;) {
        job::ledger::OpenStage next = find_stage(job, last);
        if (next.stage == job::Stage::none)
            return;
        if (pg_atomic_read_u32(&job->slot->state) == static_cast<uint32>(job::State::copying)) {
            pg::begin_ledger_transaction();
            job::ledger::begin_indexing(job->area->job);
            pg::commit_transaction();
            move_to(job, job::State::indexing);
        }
        make_stage(job, next);
    }
}

}  // namespace fastcopy::run
