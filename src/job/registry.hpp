// The registry: the shared memory of running jobs, which fastcopy.status reads live.
//
// It has one slot per job and one per worker, as many of each as the server may have background
// workers, so the registry is never the limit. A slot is owned from its reservation to its release;
// its generation changes at each release, so that a reference to a former owner is recognized.
//
// Life of a job slot: reserved by the session in fastcopy.start, owned by the coordinator once it
// has adopted it, released in the coordinator's before_shmem_exit callback (by the session, if the
// coordinator never ran).
//
// Life of a worker slot: reserved by the coordinator, filled by the worker, released by the
// coordinator once it has seen the worker stop. A worker that was terminated within a chunk is
// replaced; its successor starts with what is left of the worker's claim. If a coordinator exits first, its workers become
// orphans: they are terminated, and release their slots themselves. The job slot stays reserved,
// but unlisted, until the last worker exits, so that a late worker cannot update a reused slot.
//
// Locks: `in_use`, `generation`, the plain fields and the pids change only under the registry's
// lock, held exclusively, for a few instructions that cannot fail. Counters are atomics; each has
// one writer (named beside it), except the job's totals, to which its workers add when a chunk is
// committed.
#ifndef FASTCOPY_JOB_REGISTRY_HPP
#define FASTCOPY_JOB_REGISTRY_HPP

#include "job/state.hpp"
#include "pg/postgres.hpp"

namespace fastcopy::job {

// Whether a job is to be cancelled. Decided once: by a session that requests it, or by the
// coordinator, which closes the question before it writes the job's end.
enum class Cancel : uint32 { open, requested, closed };

struct JobSlot {
    bool in_use;
    bool abandoned;  // its coordinator has exited; in use until its last worker has
    uint32 generation;
    Oid database;
    Oid owner;
    Oid target;          // InvalidOid: `targets` has them
    dsm_handle targets;  // see job/claim.hpp; set with `job`
    int64 job;           // 0 until the coordinator has claimed it (job/claim.hpp)
    bool exclusive;      // shares its targets with no other job; set with `job`
    dsm_handle area;
    pid_t coordinator_pid;     // 0 until it runs
    Latch *coordinator_latch;  // valid while coordinator_pid is not 0
    TimestampTz started_at;

    pg_atomic_uint32 state;             // coordinator: a job::State
    pg_atomic_uint32 cancel;            // a Cancel: any session that may, or the coordinator
    pg_atomic_uint32 stop;              // coordinator: 0 → 1, workers leave
    pg_atomic_uint32 workers_wanted;    // fastcopy.start, then set_workers
    pg_atomic_uint32 chunks;            // coordinator, before the gate opens
    pg_atomic_uint32 next_chunk;        // the shared claim counter, from 0
    pg_atomic_uint32 small_from;        // coordinator, before the gate opens: chunks beyond so many
                                        // are claimed several at a time
    pg_atomic_uint32 next_check;        // likewise for the checks before a job is resumed
    pg_atomic_uint32 chunks_checked;    // workers
    pg_atomic_uint32 chunks_done;       // workers, after each commit
    pg_atomic_uint64 rows;              // workers, after each commit
    pg_atomic_uint64 bytes;             // workers, after each commit
    pg_atomic_uint64 bytes_expected;    // coordinator, before the gate opens
    pg_atomic_uint32 definitions;       // coordinator, before the state is indexing
    pg_atomic_uint32 stage;             // coordinator: a job::Stage, of those to be made now
    pg_atomic_uint32 stage_exhausted;   // coordinator: 0; workers: 1, all of it are claimed
    pg_atomic_uint32 most_makers;       // coordinator: workers that make them at a time
    pg_atomic_uint32 definitions_done;  // coordinator, then workers, after each commit
    pg_atomic_uint32 leaves;            // coordinator: leaves to be analyzed, once all else is done
    pg_atomic_uint32 next_leaf;         // their claim counter, from 0
    pg_atomic_uint32 conflicts;  // workers: chunks that were rolled back over each other's locks
    ConditionVariable ended;     // broadcast when the slot is released
};

// `gave_back`: the worker has left its chunk to others, because the crew has become smaller.
enum class Outcome : uint32 { running, finished, failed, gave_back };

// Chunks that a worker has claimed and not finished: so many, from this number on. It finishes them
// in order, or all at once. What is left as the worker exits, its successor does.
struct ClaimedChunks {
    int32 first;
    int32 count;
};

// The most chunks that a worker claims at a time.
inline constexpr int most_claimed = 32;

struct WorkerSlot {
    bool in_use;
    bool orphan;  // its coordinator has exited
    uint32 generation;
    uint32 job_index;
    uint32 job_generation;
    int32 number;  // 1, 2, ... within the job
    pid_t pid;     // 0 before it runs and after it has stopped
    Latch *latch;  // valid while pid is not 0
    TimestampTz started_at;

    pg_atomic_uint64 claim;           // ClaimedChunks: coordinator, before it starts; then worker
    pg_atomic_uint32 retire;          // coordinator: 0 → 1, leave after this chunk
    pg_atomic_uint32 outcome;         // worker: an Outcome
    pg_atomic_uint32 chunk;           // worker: the chunk it copies; 0 between chunks
    pg_atomic_uint32 definition;      // worker: the definition it makes; 0: none
    pg_atomic_uint32 chunk_retries;   // likewise: failed attempts at this, or the first, chunk
    pg_atomic_uint32 source_pid;      // worker: its backend on the source
    pg_atomic_uint32 holds_snapshot;  // worker: 1 while its connection has the job's snapshot
    pg_atomic_uint32 waits_for_lock;  // worker: 1 while it cannot lock the source table
    pg_atomic_uint32 committing_elsewhere;  // worker: 1 while other servers commit its chunk
    pg_atomic_uint64 rows;                  // worker: of this chunk, so far
    pg_atomic_uint64 bytes;                 // worker: of this chunk, so far
    pg_atomic_uint32 chunks_done;           // worker
    pg_atomic_uint32 retries;               // worker: of all its chunks
    pg_atomic_uint64 rows_done;             // worker: of committed chunks
    pg_atomic_uint64 bytes_done;            // worker: of committed chunks
};

inline ClaimedChunks read_claim(WorkerSlot *slot) {
    uint64 value = pg_atomic_read_u64(&slot->claim);
    return ClaimedChunks{static_cast<int32>(value >> 32), static_cast<int32>(value & 0xFFFFFFFF)};
}

inline uint64 pack_claim(ClaimedChunks claim) {
    return static_cast<uint64>(claim.first) << 32 | static_cast<uint32>(claim.count);
}

inline void write_claim(WorkerSlot *slot, ClaimedChunks claim) {
    pg_atomic_write_u64(&slot->claim, pack_claim(claim));
}

// A slot as a background worker's argument: its index, and its generation at that time.
struct SlotRef {
    uint32 index;
    uint32 generation;
};

inline Datum to_datum(SlotRef ref) {
    return UInt64GetDatum(static_cast<uint64>(ref.index) << 32 | ref.generation);
}

inline SlotRef to_slot_ref(Datum datum) {
    uint64 value = DatumGetUInt64(datum);
    return SlotRef{static_cast<uint32>(value >> 32), static_cast<uint32>(value)};
}

// The number of slots of either kind.
uint32 slot_count();
JobSlot *job_slot(uint32 index);
WorkerSlot *worker_slot(uint32 index);
void lock_registry(LWLockMode mode);
void unlock_registry();

// Reserves a slot for a job of this role; an ERROR if no slot is free.
SlotRef reserve_job(Oid owner, Oid target, int workers_wanted, dsm_handle area);
// Makes this process the coordinator of a reserved job; nullptr if the reservation was released.
JobSlot *adopt_job(SlotRef ref);
// Frees the slot if the reference is still valid and no worker runs, or leaves that to the last
// worker; wakes sessions that wait for the job.
void release_job(SlotRef ref);
// Whether the job has a coordinator, or will have one.
bool is_live(SlotRef ref);
// Requests that a job ends as cancelled. False if no coordinator runs yet, or if the job is at its
// end.
bool cancel_job(SlotRef ref);
// By the coordinator, before it writes that the job is done: from then on it cannot be cancelled.
// False if it was.
bool close_cancel(JobSlot *slot);
// By the session that reserved the slot: frees it if no coordinator has adopted it, which none can
// then; otherwise cancels the job. True if it was freed.
bool give_up_job(SlotRef ref);

// Reserves a slot for worker `number`, which starts with the chunks of the claim, if any; the first
// has failed so often. False if no slot is free.
bool reserve_worker(SlotRef job, int32 number, ClaimedChunks claim, int32 retries, SlotRef *worker);
// Makes this process that worker; nullptr if it is no longer wanted.
WorkerSlot *adopt_worker(SlotRef ref);
// By the worker as it exits: leaves the slot to the coordinator, or frees it if the worker is an
// orphan.
void leave_worker(SlotRef ref);
// By the coordinator, once the worker has stopped, or if it never started.
void release_worker(SlotRef ref);
// By the coordinator as it exits, before release_job: frees the slots of workers that do not run,
// sends SIGTERM to the others and leaves their slots to them.
void orphan_workers(SlotRef job);

// The live job with this id in the current database, or nullptr.
// Must be called with the registry locked.
JobSlot *find_job(int64 job);

}  // namespace fastcopy::job

#endif
