#include "run/crew.hpp"

#include "pg/wait.hpp"
#include "run/worker.hpp"

namespace fastcopy::run {

Crew make_crew(job::SlotRef job) {
    Crew crew{};
    crew.job = job;
    crew.capacity = static_cast<int>(job::slot_count());
    crew.members = static_cast<Member *>(
        MemoryContextAllocZero(TopMemoryContext, sizeof(Member) * crew.capacity));
    crew.leftovers = static_cast<Leftover *>(
        MemoryContextAllocZero(TopMemoryContext, sizeof(Leftover) * crew.capacity));
    return crew;
}

int active(const Crew *crew) {
    int count = 0;
    for (int i = 0; i < crew->count; i++)
        count += crew->members[i].retiring ? 0 : 1;
    return count;
}

int idle(const Crew *crew) {
    int count = 0;
    for (int i = 0; i < crew->count; i++) {
        job::WorkerSlot *slot = job::worker_slot(crew->members[i].slot.index);
        if (!crew->members[i].retiring && job::read_claim(slot).count == 0 &&
            pg_atomic_read_u32(&slot->definition) == 0 &&
            pg_atomic_read_u32(&slot->outcome) == static_cast<uint32>(job::Outcome::running))
            count++;
    }
    return count;
}

int grow(Crew *crew, int wanted) {
    MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);  // handles live as long as we do
    int now = active(crew);
    while (now < wanted && crew->count < crew->capacity) {
        Member *member = &crew->members[crew->count];
        *member = Member{};
        Leftover first{};
        if (crew->leftover_count > 0)
            first = crew->leftovers[crew->leftover_count - 1];
        if (!launch_worker(crew->job, crew->next_number + 1, first.claim, first.retries,
                           &member->slot, &member->handle))
            break;
        if (crew->leftover_count > 0)
            crew->leftover_count--;
        crew->next_number++;
        crew->count++;
        now++;
    }
    MemoryContextSwitchTo(old);
    return now;
}

void shrink(Crew *crew, int wanted) {
    int surplus = active(crew) - wanted;
    for (int i = crew->count - 1; i >= 0 && surplus > 0; i--) {
        Member *member = &crew->members[i];
        if (member->retiring)
            continue;
        pg_atomic_write_u32(&job::worker_slot(member->slot.index)->retire, 1);
        member->retiring = true;
        surplus--;
    }
}

namespace {

// What is left of a worker's claim.
void keep(Crew *crew, job::WorkerSlot *slot, int32 retries, bool unresolved) {
    job::ClaimedChunks left = job::read_claim(slot);
    if (left.count > 0)
        crew->leftovers[crew->leftover_count++] = Leftover{left, retries, unresolved, false};
}

// Chunks that were given back: this is not a failed attempt.
void keep_given_back(Crew *crew, job::WorkerSlot *slot) {
    keep(crew, slot, static_cast<int32>(pg_atomic_read_u32(&slot->chunk_retries)), false);
}

// The chunks of a worker that exited without an outcome, possibly before it started with them.
void keep_leftover(Crew *crew, job::WorkerSlot *slot) {
    auto retries = static_cast<int32>(pg_atomic_read_u32(&slot->chunk_retries));
    bool begun =
        pg_atomic_read_u32(&slot->chunks_done) > 0 || pg_atomic_read_u32(&slot->chunk) != 0;
    keep(crew, slot, retries + 1, pg_atomic_read_u32(&slot->committing_elsewhere) != 0);
    crew->idle_deaths = begun ? 0 : crew->idle_deaths + 1;
}

}  // namespace

void collect(Crew *crew) {
    for (int i = crew->count - 1; i >= 0; i--) {
        Member *member = &crew->members[i];
        pid_t pid;
        if (GetBackgroundWorkerPid(member->handle, &pid) != BGWH_STOPPED)
            continue;
        job::WorkerSlot *slot = job::worker_slot(member->slot.index);
        switch (static_cast<job::Outcome>(pg_atomic_read_u32(&slot->outcome))) {
            case job::Outcome::finished:
                crew->idle_deaths = 0;
                break;
            case job::Outcome::failed:
                crew->failed = true;
                break;
            case job::Outcome::gave_back:
                keep_given_back(crew, slot);
                break;
            case job::Outcome::running:
                keep_leftover(crew, slot);
                break;
        }
        job::release_worker(member->slot);
        pfree(member->handle);
        *member = crew->members[--crew->count];
    }
}

bool has_finished(const Crew *crew) {
    for (int i = 0; i < crew->count; i++) {
        job::WorkerSlot *slot = job::worker_slot(crew->members[i].slot.index);
        if (pg_atomic_read_u32(&slot->outcome) != static_cast<uint32>(job::Outcome::finished) &&
            pg_atomic_read_u32(&slot->definition) == 0)
            return false;
    }
    return true;
}

void wake(const Crew *crew) {
    job::lock_registry(LW_SHARED);
    for (int i = 0; i < crew->count; i++) {
        job::WorkerSlot *slot = job::worker_slot(crew->members[i].slot.index);
        if (slot->pid != 0)
            SetLatch(slot->latch);
    }
    job::unlock_registry();
}

void dismiss(Crew *crew) {
    for (int i = 0; i < crew->count; i++)
        TerminateBackgroundWorker(crew->members[i].handle);
    for (;;) {
        collect(crew);
        if (crew->count == 0)
            return;
        // The postmaster sets the latch when a worker stops; the timeout is for one that it could
        // not start.
        (void)pg::wait_latch(1000);
    }
}

}  // namespace fastcopy::run
