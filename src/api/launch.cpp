#include "api/launch.hpp"

#include "api/waiting.hpp"
#include "job/caller_settings.hpp"
#include "job/registry.hpp"
#include "pg/background.hpp"
#include "pg/wait.hpp"
#include "run/coordinator.hpp"

namespace fastcopy::api {

namespace {

// What has to be undone on an error or at the session's end.
struct Pending {
    job::Area *area;
    job::SlotRef slot;
    BackgroundWorkerHandle *handle;
};

// Has the coordinator give up along with the caller, which alone knows of the job.
void abandon(int, Datum argument) {
    auto *pending = reinterpret_cast<Pending *>(DatumGetPointer(argument));
    if (!job::give_up_job(pending->slot))
        return;
    // No coordinator will run to wipe the request.
    job::wipe_request(pending->area);
    if (pending->handle != nullptr)
        TerminateBackgroundWorker(pending->handle);
}

// Waits for the coordinator's answer; false if the job could not start.
bool wait_for_answer(job::Area *area, const Pending &pending, const char *target_table) {
    for (;;) {
        uint32 answer = pg_atomic_read_u32(&area->answer);
        if (answer != static_cast<uint32>(job::Answer::pending)) {
            pg_read_barrier();
            return answer == static_cast<uint32>(job::Answer::ready);
        }
        pid_t pid;
        BgwHandleStatus status = GetBackgroundWorkerPid(pending.handle, &pid);
        // Check again: it may have answered just before it stopped.
        if (status == BGWH_STOPPED &&
            pg_atomic_read_u32(&area->answer) == static_cast<uint32>(job::Answer::pending))
            return false;
        if (!pg::wait_latch(look_every_ms) && status == BGWH_STARTED && waits_for_me(pid))
            raise_blocked_copy(target_table);
    }
}

}  // namespace

int64 launch_job(const job::Request &request, const pg::Identity &identity) {
    dsm_segment *segment = job::create_area(request, identity);
    auto *area = static_cast<job::Area *>(dsm_segment_address(segment));
    Pending pending{
        area,
        job::reserve_job(identity.role, request.clone ? InvalidOid : request.only_table().target,
                         request.workers, dsm_segment_handle(segment)),
        nullptr};
    bool ready = false;

    PG_ENSURE_ERROR_CLEANUP(abandon, PointerGetDatum(&pending));
    {
        if (!run::launch_coordinator(pending.slot, &pending.handle))
            pg::raise_no_worker_slot();
        ready = wait_for_answer(area, pending, job::name_of_targets(request));
    }
    PG_END_ENSURE_ERROR_CLEANUP(abandon, PointerGetDatum(&pending));

    if (!ready) {
        // A failed start must leave no connection, worker or lock behind.
        (void)WaitForBackgroundWorkerShutdown(pending.handle);
        job::wipe_request(area);
        job::release_job(pending.slot);
        if (pg::is_complete(&area->error))
            pg::raise(&area->error, ERROR);
        ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR),
                        errmsg("the fastcopy coordinator ended before it could start the job"),
                        errhint("The server log may say why.")));
    }
    if (area->workers_launched < request.workers)
        pg::warn_of_fewer_workers(area->workers_launched, request.workers);
    if (area->stores_elsewhere)
        ereport(WARNING,
                (errmsg("rows of foreign tables cannot be copied exactly once"),
                 errdetail("Their servers commit before this one does: if a commit fails half way, "
                           "the chunk's rows may be stored there though the chunk is not done."),
                 errhint("In that case, the job fails and reports the chunk.")));
    if (area->warning[0] != '\0')
        ereport(WARNING, (errmsg_internal("%s", area->warning)));
    if (area->notice[0] != '\0')
        ereport(NOTICE, (errmsg_internal("%s", area->notice)));
    if (area->no_common_snapshot)
        ereport(
            WARNING,
            (errcode(ERRCODE_FEATURE_NOT_SUPPORTED), errmsg("%s", job::no_common_snapshot),
             errdetail("Each chunk is read as of the moment when its query begins on each node."),
             errhint("Keep others from writing to the source table until the job has ended, "
                     "or compare both sides afterwards.")));
    int64 job = area->job;
    dsm_detach(segment);
    return job;
}

int64 launch_new_job(job::Request request) {
    pg::Identity identity = pg::current_identity();
    request.settings = job::read_caller_settings(identity, request.triggers);
    return launch_job(request, identity);
}

}  // namespace fastcopy::api
