// The registry: the shared memory of running jobs, which fastcopy.status reads live.
//
// One slot per job and one per worker, as many of each as the server may have background workers, so
// the registry is never what runs out. A slot belongs to somebody from its reservation to its release;
// its generation changes at each release, so that a reference to a former owner is recognised.
//
// Life of a job slot: reserved by the session in fastcopy.start, handed to the coordinator by the act
// of starting it, released in the coordinator's before_shmem_exit callback (by the session, if the
// coordinator never ran).
//
// Life of a worker slot: reserved by the coordinator, filled by the worker, released by the
// coordinator once it has seen the worker stop. One that was terminated in the middle of a chunk is replaced;
// its successor is told to begin with that chunk. When a coordinator exits first, its workers are
// orphans: they are told to stop, and release their slots themselves. Until the last of them has, the
// job's slot stays reserved, though nobody finds it any more: a late worker must not count, or worse
// claim, on a slot that has become another job's.
//
// Locks: `in_use`, `generation`, the plain fields and the pids change only under the registry's lock,
// held exclusively, for a few instructions and nothing that can fail. Counters are atomics; each has
// one writer (named beside it), but for the job's totals, which its workers add to when a chunk is
// committed.
#ifndef FASTCOPY_JOB_REGISTRY_HPP
#define FASTCOPY_JOB_REGISTRY_HPP

#include <span>

#include "job/state.hpp"
#include "pg/postgres.hpp"

namespace fastcopy::job {

// Whether a job is to be cancelled. It is decided once: a session asks, or the coordinator, about to write
// the end of the job, closes the question.
enum class Cancel : uint32 { open, requested, closed };

struct JobSlot {
    bool in_use;
    bool abandoned;  // its coordinator has gone; in use until its last worker has, too
    uint32 generation;
    Oid database;
    Oid owner;
    Oid target;
    int64 job;       // 0 until the coordinator has claimed it
    bool exclusive;  // empties the target, or sets its indexes aside; set with `job`
    dsm_handle area;
    pid_t coordinator_pid;     // 0 until it runs
    Latch *coordinator_latch;  // valid while coordinator_pid is not 0
    TimestampTz started_at;

    pg_atomic_uint32 state;           // coordinator: a job::State
    pg_atomic_uint32 cancel;          // a Cancel: any session that may, or the coordinator
    pg_atomic_uint32 stop;            // coordinator: 0 → 1, workers leave
    pg_atomic_uint32 workers_wanted;  // fastcopy.start, then set_workers
    pg_atomic_uint32 chunks;          // coordinator, before workers start
    pg_atomic_uint32 next_chunk;      // the shared claim counter, from 0
    pg_atomic_uint32 next_check;      // likewise for the checks before a job is resumed
    pg_atomic_uint32 chunks_checked;  // workers
    pg_atomic_uint32 chunks_done;     // workers, after each commit
    pg_atomic_uint64 rows;            // workers, after each commit
    pg_atomic_uint64 bytes;           // workers, after each commit
    pg_atomic_uint64 bytes_expected;  // coordinator, before workers start
    pg_atomic_uint32 indexes;         // coordinator, before the state is indexing
    pg_atomic_uint32 next_index;      // the claim counter of that state, from 0
    pg_atomic_uint32 indexes_done;    // coordinator, then workers, after each commit
    pg_atomic_uint32 conflicts;  // workers: chunks that were rolled back over each other's locks
    ConditionVariable ended;     // broadcast when the slot is released
};

// `gave_back`: it has left its chunk to others, because the crew has become smaller.
enum class Outcome : uint32 { running, finished, failed, gave_back };

struct WorkerSlot {
    bool in_use;
    bool orphan;  // its coordinator has gone
    uint32 generation;
    uint32 job_index;
    uint32 job_generation;
    int32 number;         // 1, 2, ... within the job
    int32 first_chunk;    // coordinator, before the worker starts: what to begin with; 0: claim
    int32 first_retries;  // and how often that has been tried in vain
    pid_t pid;            // 0 before it runs and after it has stopped
    Latch *latch;         // valid while pid is not 0
    TimestampTz started_at;

    pg_atomic_uint32 retire;                // coordinator: 0 → 1, leave after this chunk
    pg_atomic_uint32 outcome;               // worker: an Outcome
    pg_atomic_uint32 chunk;                 // worker: the chunk it copies; 0 between chunks
    pg_atomic_uint32 index;                 // worker: the index it builds; 0: none
    pg_atomic_uint32 chunk_retries;         // worker: of this chunk
    pg_atomic_uint32 source_pid;            // worker: its backend on the source
    pg_atomic_uint32 holds_snapshot;        // worker: 1 while its connection has the job's snapshot
    pg_atomic_uint32 waits_for_lock;        // worker: 1 while it cannot lock the source table
    pg_atomic_uint32 committing_elsewhere;  // worker: 1 while other servers commit its chunk
    pg_atomic_uint64 rows;                  // worker: of this chunk, so far
    pg_atomic_uint64 bytes;                 // worker: of this chunk, so far
    pg_atomic_uint32 chunks_done;           // worker
    pg_atomic_uint32 retries;               // worker: of all its chunks
    pg_atomic_uint64 rows_done;             // worker: of committed chunks
    pg_atomic_uint64 bytes_done;            // worker: of committed chunks
};

// A slot as a background worker's argument: where it is and whose it was when it was named.
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

// Reserves a slot for a job of this role; an ERROR when all are taken.
SlotRef reserve_job(Oid owner, Oid target, int workers_wanted, dsm_handle area);
// Makes this process the coordinator of a reserved job; nullptr when the reservation is gone.
JobSlot *adopt_job(SlotRef ref);
// Assigns the job to the coordinator's slot, unless another coordinator runs it (running), a job that
// cannot share the target has it (target_taken), or workers of either, whose coordinator is gone, have not
// exited yet (being_left). `family` are the tables whose rows are the target's or hold those of the target.
enum class Claim { mine, running, target_taken, being_left };
struct Claimed {
    Claim claim;
    int64 other;  // the job that has the target
};
Claimed claim_job(JobSlot *slot, int64 job, bool exclusive, std::span<const Oid> family);
// Frees the slot if the reference is still good and no worker runs, or abandons it to the last of them;
// wakes those who wait for the job.
void release_job(SlotRef ref) noexcept;
// Whether a job has its coordinator, or will have it.
bool is_live(SlotRef ref);
// Requests that a job ends as cancelled. False if it cannot: no coordinator runs yet, or the job is at its
// end.
bool cancel_job(SlotRef ref);
// By the coordinator, before it writes that the job is done: from then on nobody can cancel it. False if
// somebody has.
bool close_cancel(JobSlot *slot);
// By the session that reserved the slot and gives up: frees it if no coordinator has adopted it yet, and then
// none will; else cancels the job. True if it was freed.
bool give_up_job(SlotRef ref) noexcept;

// Reserves a slot for worker `number`; false when all are taken. For the others see WorkerSlot.
bool reserve_worker(SlotRef job, int32 number, int32 first_chunk, int32 first_retries,
                    SlotRef *worker);
// Makes this process that worker; nullptr when it is no longer wanted.
WorkerSlot *adopt_worker(SlotRef ref);
// By the worker as it exits: the slot is the coordinator's to read, or freed if there is none.
void leave_worker(SlotRef ref) noexcept;
// By the coordinator, after the worker has stopped or if it never started.
void release_worker(SlotRef ref) noexcept;
// By the coordinator as it exits, before release_job: frees the slots of workers that do not run,
// signals SIGTERM to the others and leaves their slots to them.
void orphan_workers(SlotRef job) noexcept;

// The live job with this id in the current database, or nullptr.
// Must be called with the registry locked.
JobSlot *find_job(int64 job);

}  // namespace fastcopy::job

#endif
