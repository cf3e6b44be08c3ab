// A running job in its coordinator: what the parts of the coordinator share.
#ifndef FASTCOPY_RUN_RUNNING_JOB_HPP
#define FASTCOPY_RUN_RUNNING_JOB_HPP

#include "plan/markers.hpp"
#include "run/crew.hpp"
#include "run/process.hpp"
#include "source/connection.hpp"

namespace fastcopy::run {

struct RunningJob {
    job::JobSlot *slot;
    job::Area *area;
    job::Request request;
    source::Connection *connection;  // the coordinator's; nullptr while it is lost
    ErrorData *loss;                 // the error of the last loss
    int losses;                      // since a chunk was done
    uint32 done_at_loss;             // chunks done at the last loss
    Crew crew;
    int chunks;
    Bitmapset *done_before;   // the chunks that were done before this run of the job
    plan::MarkerWait marker;  // see run/marker_wait.hpp
    bool nothing_new;         // a run of fastcopy.sync that has nothing to copy
    bool in_ledger;           // the job's row is committed: its end is written there
};

// The ERROR of a job that is cancelled.
[[noreturn]] void raise_cancelled();

// Processes interrupts, and raises that ERROR if the job is to be cancelled.
void check_cancel(RunningJob *job);

// Raises the job's error if one of its processes has recorded any, or an ERROR if too many workers
// were terminated.
void raise_if_failed(RunningJob *job);

// Moves the job's live state: nothing else does. Moves the gate, and wakes the workers that wait at
// it.
void move_to(RunningJob *job, job::State state);
void move_gate(RunningJob *job, job::Gate gate);

}  // namespace fastcopy::run

#endif
