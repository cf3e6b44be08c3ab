// Whether source and target are the same table, or the source a standby of this server.
//
// TRUNCATE must not remove the rows that are to be read, here or on a standby that replays it; and the
// job must not wait forever for a lock that conflicts with the one of its own session on the
// source.
#ifndef FASTCOPY_RUN_KINSHIP_HPP
#define FASTCOPY_RUN_KINSHIP_HPP

#include "run/running_job.hpp"

namespace fastcopy::run {

// An ERROR if the target must not be locked exclusively. By then, the source's session has locked
// all it will read.
void refuse_to_lock_source(RunningJob *job);

}  // namespace fastcopy::run

#endif
