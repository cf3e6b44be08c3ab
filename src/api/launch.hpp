// From a request to a running job: what fastcopy.start and fastcopy.resume have in common.
//
// The request goes into the job's area, a slot of the registry is reserved, the coordinator started, and its
// answer waited for. What goes wrong until then is raised here, in the caller's session, and the job's
// processes are gone by the time it is. A caller that gives up waiting (Ctrl-C, a timeout, its own end)
// takes the job along.
#ifndef FASTCOPY_API_LAUNCH_HPP
#define FASTCOPY_API_LAUNCH_HPP

#include "job/request.hpp"
#include "pg/identity.hpp"

namespace fastcopy::api {

// Returns the job's id. The job runs and belongs to identity.role.
int64 launch_job(const job::Request &request, const pg::Identity &identity);

}  // namespace fastcopy::api

#endif
