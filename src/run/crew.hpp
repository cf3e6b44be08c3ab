// The crew: a coordinator's workers, from launch to release.
//
// The crew knows who was launched and who has stopped, and with what outcome; it takes on and dismisses.
// A worker that was terminated has left its chunk behind, undone: the crew keeps such chunks, and gives them
// to the next workers that it takes on. It decides nothing about the job: that is the coordinator's.
#ifndef FASTCOPY_RUN_CREW_HPP
#define FASTCOPY_RUN_CREW_HPP

#include "job/registry.hpp"

namespace fastcopy::run {

struct Member {
    BackgroundWorkerHandle *handle;
    job::SlotRef slot;
    bool retiring;
};

// A chunk whose worker has gone.
struct Leftover {
    int32 chunk;
    int32 retries;    // failed attempts so far
    bool unresolved;  // other servers may have committed it
    bool looked_up;   // in the ledger, which says that it is not done
};

struct Crew {
    job::SlotRef job;
    int count;  // members that have not been seen to stop
    int capacity;
    Member *members;
    int32 next_number;
    bool failed;  // a worker has recorded an error
    int leftover_count;
    Leftover *leftovers;  // as many as members at the most
    int idle_deaths;      // workers that went outside of a chunk, in a row
};

Crew make_crew(job::SlotRef job);

// Launches workers until there are `wanted` that are not retiring; returns how many there are then,
// which is fewer when the server has no slot left.
int grow(Crew *crew, int wanted);

// Tells the workers beyond `wanted` to leave after their chunk.
void shrink(Crew *crew, int wanted);

// How many are at work and not retiring.
int active(const Crew *crew);

// How many of them have no chunk, and are about to claim one.
int idle(const Crew *crew);

// Takes those who have stopped off the crew.
void collect(Crew *crew);

// Whether no member has anything left to do: those that are still there are about to exit.
bool has_finished(const Crew *crew);

// Wakes all members: the gate has moved.
void wake(const Crew *crew);

// Ends all members and returns when they have stopped.
void dismiss(Crew *crew);

}  // namespace fastcopy::run

#endif
