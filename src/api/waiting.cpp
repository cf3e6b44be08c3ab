#include "api/waiting.hpp"

namespace fastcopy::api {

namespace {

// Whether the process waits for a lock at all. This is cheap; finding the holder locks all lock
// partitions.
bool waits_for_lock(pid_t pid) {
    PGPROC *proc = BackendPidGetProc(pid);
    return proc != nullptr && (proc->wait_event_info & 0xFF000000U) == PG_WAIT_LOCK;
}

bool leads_to_me(pid_t first) {
    // Breadth first over "is blocked by"; a longer chain is found by a later check.
    constexpr int most = 256;
    pid_t pids[most];
    int count = 0;
    pids[count++] = first;
    for (int i = 0; i < count; i++) {
        Datum blockers = DirectFunctionCall1(pg_blocking_pids, Int32GetDatum(pids[i]));
        ArrayType *array = DatumGetArrayTypeP(blockers);
        int n = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
        auto *values = reinterpret_cast<int32 *>(ARR_DATA_PTR(array));
        for (int j = 0; j < n; j++) {
            if (values[j] == MyProcPid)
                return true;
            bool known = values[j] == 0;
            for (int k = 0; k < count && !known; k++)
                known = pids[k] == values[j];
            if (!known && count < most)
                pids[count++] = values[j];
        }
    }
    return false;
}

}  // namespace

bool waits_for_me(pid_t pid) {
    if (!waits_for_lock(pid))
        return false;
    // Each check allocates by the size of the server, and a wait has many.
    MemoryContext look = AllocSetContextCreate(CurrentMemoryContext, "fastcopy look at locks",
                                               ALLOCSET_DEFAULT_SIZES);
    MemoryContext old = MemoryContextSwitchTo(look);
    bool blocked = leads_to_me(pid);
    MemoryContextSwitchTo(old);
    MemoryContextDelete(look);
    return blocked;
}

bool job_waits_for_me(job::SlotRef ref) {
    auto *pids = static_cast<pid_t *>(palloc(sizeof(pid_t) * (job::slot_count() + 1)));
    int count = 0;
    job::lock_registry(LW_SHARED);
    job::JobSlot *slot = job::job_slot(ref.index);
    if (slot->in_use && slot->generation == ref.generation && slot->coordinator_pid != 0)
        pids[count++] = slot->coordinator_pid;
    for (uint32 i = 0; i < job::slot_count(); i++) {
        job::WorkerSlot *worker = job::worker_slot(i);
        if (worker->in_use && worker->pid != 0 && worker->job_index == ref.index &&
            worker->job_generation == ref.generation)
            pids[count++] = worker->pid;
    }
    job::unlock_registry();

    bool blocked = false;
    for (int i = 0; i < count && !blocked; i++)
        blocked = waits_for_me(pids[i]);
    pfree(pids);
    return blocked;
}

void raise_blocked_copy(const char *target_table) {
    ereport(ERROR, (errcode(ERRCODE_OBJECT_IN_USE),
                    errmsg("cannot wait for the copy into %s: the current transaction blocks it",
                           target_table),
                    errdetail("Background processes wait for a lock that this transaction holds."),
                    errhint("Call the function in a transaction that has not locked or changed the "
                            "target.")));
}

void raise_blocked_comparison(const char *target_table) {
    ereport(ERROR,
            (errcode(ERRCODE_OBJECT_IN_USE),
             errmsg("cannot wait for the comparison with %s: the current transaction blocks it",
                    target_table),
             errdetail("Background processes wait for a lock that this transaction holds."),
             errhint("Call the function in a transaction that has not locked or altered the "
                     "target.")));
}

}  // namespace fastcopy::api
