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
    int count = stage.last - stage.first + 1;
    pg_atomic_write_u32(&job->slot->next_definition, static_cast<uint32>(stage.first - 1));
    pg_atomic_write_u32(&job->slot->last_definition, static_cast<uint32>(stage.last));
    pg_atomic_write_u32(&job->slot->most_makers,
                        static_cast<uint32>(job::is_parallel(stage.stage) ? count : 1));
}

// Keeps as many workers as are wanted while unclaimed definitions of the stage are left.
void staff(RunningJob *job) {
    auto last = static_cast<int>(pg_atomic_read_u32(&job->slot->last_definition));
    auto claimed = static_cast<int>(pg_atomic_read_u32(&job->slot->next_definition));
    auto most = static_cast<int>(pg_atomic_read_u32(&job->slot->most_makers));
    int wanted = Min(static_cast<int>(pg_atomic_read_u32(&job->slot->workers_wanted)), most);
    int now = active(&job->crew);
    if (now > wanted)
        shrink(&job->crew, wanted);
    else if (now < wanted && claimed < last)
        (void)grow(&job->crew, Min(wanted, now + last - claimed));
}

void make_stage(RunningJob *job, const job::ledger::OpenStage &stage) {
    open_stage(job, stage);
    for (;;) {
        check_cancel(job);
        pg::reload_configuration();
        collect(&job->crew);
        raise_if_failed(job);
        if (job->crew.count == 0 &&
            pg_atomic_read_u32(&job->slot->next_definition) >= static_cast<uint32>(stage.last))
            return;
        staff(job);
        if (job->crew.count == 0)
            pg::raise_no_worker_slot();
        (void)pg::wait_latch();
    }
}

void wait_for_crew(RunningJob *job) {
    while (job->crew.count > 0) {
        check_cancel(job);
        collect(&job->crew);
        raise_if_failed(job);
        if (job->crew.count > 0)
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
        // Those that have copied rows are about to exit.
        wait_for_crew(job);
        make_stage(job, next);
    }
}

}  // namespace fastcopy::run
