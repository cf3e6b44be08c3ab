// From a request to a running job: what fastcopy.start and fastcopy.resume have in common.
//
// The request is written to the job's area, a slot of the registry is reserved, and the coordinator
// is launched; its answer is awaited. An error until then is raised here, in the caller's session,
// and by that time the job's processes have exited. A caller that gives up waiting (Ctrl-C, a
// timeout, its own end) cancels the job.
#ifndef FASTCOPY_API_LAUNCH_HPP
#define FASTCOPY_API_LAUNCH_HPP

#include "job/request.hpp"
#include "pg/identity.hpp"

namespace fastcopy::api {

// Returns the job's id. The job runs and belongs to identity.role.
int64 launch_job(const job::Request &request, const pg::Identity &identity);

// The same for a new job, which runs as the current role and takes on the session's settings.
int64 launch_new_job(job::Request request);

}  // namespace fastcopy::api

#endif
