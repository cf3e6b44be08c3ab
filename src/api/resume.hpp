// fastcopy.resume: continues a job that has failed, or was cancelled or interrupted.
#ifndef FASTCOPY_API_RESUME_HPP
#define FASTCOPY_API_RESUME_HPP

#include "pg/postgres.hpp"

namespace fastcopy::api {

// `source`: nullptr for the one in the ledger; `workers`: 0 for the former number.
int64 resume_job(int64 job, const char *source, int workers, bool accept_changes);

}  // namespace fastcopy::api

#endif
