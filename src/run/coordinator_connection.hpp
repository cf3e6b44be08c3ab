// The coordinator's connection to the source: how it is made, lost and made again.
//
// The coordinator waits for the latch and for the end of this connection at once. On a transient
// error it closes the connection and asks a worker to export the snapshot again (run/snapshot); the
// job continues, within fastcopy.retry_limit, as long as a connection of one of its processes holds
// the snapshot.
#ifndef FASTCOPY_RUN_COORDINATOR_CONNECTION_HPP
#define FASTCOPY_RUN_COORDINATOR_CONNECTION_HPP

#include "run/running_job.hpp"

namespace fastcopy::run {

// Opens the coordinator's connection to the source.
source::Connection *connect_coordinator(RunningJob *job);

// Runs a step that uses the source. On a transient error, closes the connection.
void survive_loss(RunningJob *job, void (*step)(RunningJob *job));

// Waits for something to do, with or without a connection to the source. An ERROR once no
// connection holds the snapshot any more and chunks are left.
void wait_for_news(RunningJob *job);

}  // namespace fastcopy::run

#endif
