#include "job/registry.hpp"

#include <signal.h>

#include "pg/shmem.hpp"

namespace fastcopy::job {

namespace {

void *memory = nullptr;
LWLock *lock = nullptr;

// Job slots first, worker slots behind them.
size_t jobs_size() {
    return MAXALIGN(sizeof(JobSlot) * slot_count());
}

void initialize(void *fresh) {
    memset(fresh, 0, jobs_size() + sizeof(WorkerSlot) * slot_count());
    auto *jobs = static_cast<JobSlot *>(fresh);
    for (uint32 i = 0; i < slot_count(); i++)
        ConditionVariableInit(&jobs[i].ended);
}

// The name contains the layout: while a newer library is installed on a running server, processes
// of both exist, and must not share a registry.
void attach() {
    if (memory != nullptr)
        return;
    static char name[48];
    snprintf(name, sizeof(name), "pg_fastcopy %zu %zu", sizeof(JobSlot), sizeof(WorkerSlot));
    memory =
        pg::named_segment(name, jobs_size() + sizeof(WorkerSlot) * slot_count(), initialize, &lock);
}

void free_worker(WorkerSlot *slot) {
    slot->in_use = false;
    slot->generation++;
}

// Frees an abandoned job's slot if no worker refers to it any more.
void free_if_deserted(JobSlot *slot) {
    if (!slot->abandoned)
        return;
    auto index = static_cast<uint32>(slot - job_slot(0));
    for (uint32 i = 0; i < slot_count(); i++) {
        WorkerSlot *worker = worker_slot(i);
        if (worker->in_use && worker->job_index == index &&
            worker->job_generation == slot->generation)
            return;
    }
    slot->in_use = false;
    slot->generation++;
}

bool is_mine(const JobSlot *slot, SlotRef ref) {
    return slot->in_use && !slot->abandoned && slot->generation == ref.generation;
}

}  // namespace

uint32 slot_count() {
    return static_cast<uint32>(Max(max_worker_processes, 1));
}

JobSlot *job_slot(uint32 index) {
    attach();
    return static_cast<JobSlot *>(memory) + index;
}

WorkerSlot *worker_slot(uint32 index) {
    attach();
    return reinterpret_cast<WorkerSlot *>(static_cast<char *>(memory) + jobs_size()) + index;
}

void lock_registry(LWLockMode mode) {
    attach();
    LWLockAcquire(lock, mode);
}

void unlock_registry() {
    LWLockRelease(lock);
}

SlotRef reserve_job(Oid owner, Oid target, int workers_wanted, dsm_handle area) {
    TimestampTz now = GetCurrentTimestamp();
    lock_registry(LW_EXCLUSIVE);
    for (uint32 i = 0; i < slot_count(); i++) {
        JobSlot *slot = job_slot(i);
        if (slot->in_use)
            continue;
        slot->in_use = true;
        slot->abandoned = false;
        slot->database = MyDatabaseId;
        slot->owner = owner;
        slot->target = target;
        slot->targets = DSM_HANDLE_INVALID;
        slot->job = 0;
        slot->exclusive = false;
        slot->area = area;
        slot->coordinator_pid = 0;
        slot->coordinator_latch = nullptr;
        slot->started_at = now;
        pg_atomic_init_u32(&slot->state, static_cast<uint32>(State::planning));
        pg_atomic_init_u32(&slot->cancel, static_cast<uint32>(Cancel::open));
        pg_atomic_init_u32(&slot->stop, 0);
        pg_atomic_init_u32(&slot->workers_wanted, static_cast<uint32>(workers_wanted));
        pg_atomic_init_u32(&slot->chunks, 0);
        pg_atomic_init_u32(&slot->next_chunk, 0);
        pg_atomic_init_u32(&slot->small_from, PG_UINT32_MAX);
        pg_atomic_init_u32(&slot->next_check, 0);
        pg_atomic_init_u32(&slot->chunks_checked, 0);
        pg_atomic_init_u32(&slot->chunks_done, 0);
        pg_atomic_init_u64(&slot->rows, 0);
        pg_atomic_init_u64(&slot->bytes, 0);
        pg_atomic_init_u64(&slot->bytes_expected, 0);
        pg_atomic_init_u32(&slot->definitions, 0);
        pg_atomic_init_u32(&slot->stage, 0);
        pg_atomic_init_u32(&slot->stage_exhausted, 0);
        pg_atomic_init_u32(&slot->most_makers, 0);
        pg_atomic_init_u32(&slot->definitions_done, 0);
        pg_atomic_init_u32(&slot->leaves, 0);
        pg_atomic_init_u32(&slot->next_leaf, 0);
        pg_atomic_init_u32(&slot->conflicts, 0);
        SlotRef ref{i, slot->generation};
        unlock_registry();
        return ref;
    }
    unlock_registry();
    ereport(ERROR,
            (errcode(ERRCODE_INSUFFICIENT_RESOURCES), errmsg("too many fastcopy jobs are running"),
             errhint("Wait for a job to end, or increase max_worker_processes.")));
}

JobSlot *adopt_job(SlotRef ref) {
    JobSlot *slot = job_slot(ref.index);
    lock_registry(LW_EXCLUSIVE);
    bool mine = is_mine(slot, ref);
    if (mine) {
        slot->coordinator_pid = MyProcPid;
        slot->coordinator_latch = MyLatch;
    }
    unlock_registry();
    return mine ? slot : nullptr;
}

void release_job(SlotRef ref) {
    JobSlot *slot = job_slot(ref.index);
    lock_registry(LW_EXCLUSIVE);
    bool mine = is_mine(slot, ref);
    if (mine) {
        slot->abandoned = true;
        slot->coordinator_pid = 0;
        free_if_deserted(slot);
    }
    unlock_registry();
    if (mine)
        ConditionVariableBroadcast(&slot->ended);
}

bool is_live(SlotRef ref) {
    JobSlot *slot = job_slot(ref.index);
    lock_registry(LW_SHARED);
    bool live = is_mine(slot, ref);
    unlock_registry();
    return live;
}

bool cancel_job(SlotRef ref) {
    JobSlot *slot = job_slot(ref.index);
    lock_registry(LW_SHARED);
    bool cancelled = is_mine(slot, ref) && slot->coordinator_pid != 0;
    if (cancelled) {
        // Interrupt whatever the coordinator does: a wait for a lock, ANALYZE, a query on the
        // source. Only once: a second signal would interrupt the end of the job.
        auto expected = static_cast<uint32>(Cancel::open);
        if (pg_atomic_compare_exchange_u32(&slot->cancel, &expected,
                                           static_cast<uint32>(Cancel::requested)))
            kill(slot->coordinator_pid, SIGINT);
        cancelled = expected != static_cast<uint32>(Cancel::closed);
        SetLatch(slot->coordinator_latch);
    }
    unlock_registry();
    return cancelled;
}

bool close_cancel(JobSlot *slot) {
    auto expected = static_cast<uint32>(Cancel::open);
    return pg_atomic_compare_exchange_u32(&slot->cancel, &expected,
                                          static_cast<uint32>(Cancel::closed));
}

bool give_up_job(SlotRef ref) {
    JobSlot *slot = job_slot(ref.index);
    lock_registry(LW_EXCLUSIVE);
    bool unadopted = is_mine(slot, ref) && slot->coordinator_pid == 0;
    if (unadopted) {
        slot->in_use = false;
        slot->generation++;
    }
    unlock_registry();
    if (!unadopted)
        (void)cancel_job(ref);
    return unadopted;
}

bool reserve_worker(SlotRef job, int32 number, ClaimedChunks claim, int32 retries,
                    SlotRef *worker) {
    lock_registry(LW_EXCLUSIVE);
    for (uint32 i = 0; i < slot_count(); i++) {
        WorkerSlot *slot = worker_slot(i);
        if (slot->in_use)
            continue;
        slot->in_use = true;
        slot->orphan = false;
        slot->job_index = job.index;
        slot->job_generation = job.generation;
        slot->number = number;
        slot->pid = 0;
        slot->latch = nullptr;
        pg_atomic_init_u64(&slot->claim, pack_claim(claim));
        pg_atomic_init_u32(&slot->retire, 0);
        pg_atomic_init_u32(&slot->outcome, static_cast<uint32>(Outcome::running));
        pg_atomic_init_u32(&slot->chunk, 0);
        pg_atomic_init_u32(&slot->definition, 0);
        pg_atomic_init_u32(&slot->chunk_retries, static_cast<uint32>(retries));
        pg_atomic_init_u32(&slot->source_pid, 0);
        pg_atomic_init_u32(&slot->holds_snapshot, 0);
        pg_atomic_init_u32(&slot->committing_elsewhere, 0);
        pg_atomic_init_u32(&slot->waits_for_lock, 0);
        pg_atomic_init_u64(&slot->rows, 0);
        pg_atomic_init_u64(&slot->bytes, 0);
        pg_atomic_init_u32(&slot->chunks_done, 0);
        pg_atomic_init_u32(&slot->retries, 0);
        pg_atomic_init_u64(&slot->rows_done, 0);
        pg_atomic_init_u64(&slot->bytes_done, 0);
        *worker = SlotRef{i, slot->generation};
        unlock_registry();
        return true;
    }
    unlock_registry();
    return false;
}

WorkerSlot *adopt_worker(SlotRef ref) {
    TimestampTz now = GetCurrentTimestamp();
    WorkerSlot *slot = worker_slot(ref.index);
    lock_registry(LW_EXCLUSIVE);
    bool mine = slot->in_use && slot->generation == ref.generation && !slot->orphan;
    if (mine) {
        slot->pid = MyProcPid;
        slot->latch = MyLatch;
        slot->started_at = now;
    }
    unlock_registry();
    return mine ? slot : nullptr;
}

void leave_worker(SlotRef ref) {
    WorkerSlot *slot = worker_slot(ref.index);
    lock_registry(LW_EXCLUSIVE);
    if (slot->in_use && slot->generation == ref.generation) {
        slot->pid = 0;
        if (slot->orphan) {
            free_worker(slot);
            free_if_deserted(job_slot(slot->job_index));
        }
    }
    unlock_registry();
}

void release_worker(SlotRef ref) {
    WorkerSlot *slot = worker_slot(ref.index);
    lock_registry(LW_EXCLUSIVE);
    if (slot->in_use && slot->generation == ref.generation)
        free_worker(slot);
    unlock_registry();
}

void orphan_workers(SlotRef job) {
    lock_registry(LW_EXCLUSIVE);
    for (uint32 i = 0; i < slot_count(); i++) {
        WorkerSlot *slot = worker_slot(i);
        if (!slot->in_use || slot->job_index != job.index || slot->job_generation != job.generation)
            continue;
        if (slot->pid == 0) {
            free_worker(slot);
        } else {
            slot->orphan = true;
            kill(slot->pid, SIGTERM);
        }
    }
    unlock_registry();
}

JobSlot *find_job(int64 job) {
    for (uint32 i = 0; i < slot_count(); i++) {
        JobSlot *slot = job_slot(i);
        if (slot->in_use && !slot->abandoned && slot->job == job && slot->database == MyDatabaseId)
            return slot;
    }
    return nullptr;
}

}  // namespace fastcopy::job
