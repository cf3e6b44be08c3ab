// The crew: a coordinator's workers, from launch to release.
//
// The crew launches workers and dismisses them, and knows which have stopped and with what outcome.
// A worker that was terminated leaves its chunks undone: the crew keeps such chunks, and assigns
// them to the workers that it launches next. It decides nothing about the job: the coordinator
// does.
#ifndef FASTCOPY_RUN_CREW_HPP
#define FASTCOPY_RUN_CREW_HPP

#include "job/registry.hpp"

namespace fastcopy::run {

struct Member {
    BackgroundWorkerHandle *handle;
    job::SlotRef slot;
    bool retiring;
};

// Chunks whose worker has gone.
struct Leftover {
    job::ClaimedChunks claim;
    int32 retries;    // failed attempts at the first so far
    bool unresolved;  // other servers may have committed the first
    bool looked_up;   // in the ledger, which says that it is not done
};

struct Crew {
    job::SlotRef job;
    int count;  // members that have not been collected
    int capacity;
    Member *members;
    int32 next_number;
    bool failed;  // a worker has recorded an error
    int leftover_count;
    Leftover *leftovers;  // at most as many as members
    int idle_deaths;      // workers that exited between chunks, since another did something
};

Crew make_crew(job::SlotRef job);

// Launches workers until `wanted` are active; returns how many are, which is fewer if the server is
// out of slots.
int grow(Crew *crew, int wanted);

// Has the workers beyond `wanted` exit after their chunk.
void shrink(Crew *crew, int wanted);

// The number of members that are not retiring.
int active(const Crew *crew);

// The number of those that have nothing to do, and are about to claim chunks.
int idle(const Crew *crew);

// Removes members that have stopped, and takes note of their outcomes.
void collect(Crew *crew);

// Whether no member copies any more: all are about to exit, or make definitions.
bool has_finished(const Crew *crew);

// Wakes all members: the gate has moved.
void wake(const Crew *crew);

// Terminates all members and returns when they have stopped.
void dismiss(Crew *crew);

}  // namespace fastcopy::run

#endif
