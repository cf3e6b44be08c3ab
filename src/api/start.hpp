// fastcopy.start, which fastcopy.copy shares.
#ifndef FASTCOPY_API_START_HPP
#define FASTCOPY_API_START_HPP

#include "pg/postgres.hpp"

namespace fastcopy::api {

// Starts a job from the arguments of fastcopy.start, in their order, and returns its id once its
// plan is in the ledger. If the job cannot start, that is an ERROR, and there is no job.
int64 start_job(FunctionCallInfo fcinfo);

}  // namespace fastcopy::api

#endif
