// A running job, as its coordinator has it: what preparation.cpp and coordinator.cpp share.
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
    ErrorData *loss;                 // why it was lost, last
    int losses;                      // in a row, without a chunk done in between
    uint32 done_at_loss;             // how many chunks were done when it was lost last
    Crew crew;
    int chunks;
    Bitmapset *done_before;   // the chunks that were done before this run of the job
    plan::MarkerWait marker;  // see run/marker_wait.hpp
    bool in_ledger;           // what happens to the job from now on is written there
};

// The ERROR of a job that is cancelled.
[[noreturn]] void raise_cancelled();

// Raises it if the job is to be cancelled, and whatever else interrupts the process.
void check_cancel(RunningJob *job);

// Raises the job's error in this process, if one of its processes has recorded any, and an ERROR if too many
// workers were terminated.
void raise_if_failed(RunningJob *job);

// Opens the coordinator's connection to the source.
source::Connection *connect_coordinator(RunningJob *job);

}  // namespace fastcopy::run

#endif
