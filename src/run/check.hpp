// fastcopy.check: what would go wrong with a job of fastcopy.clone.
//
// It runs in the calling session: nothing is launched, and nothing is written. It takes the steps of
// a job's preparation, one by one, each in a subtransaction here and within a savepoint on the source
// that are both rolled back: an ERROR of a step becomes a finding, locks last no longer than the step,
// and the next step can run. Steps that find out more than the preparation would are added.
//
// Sessions on the source: one, which is closed before check_clone returns or raises an error.
#ifndef FASTCOPY_RUN_CHECK_HPP
#define FASTCOPY_RUN_CHECK_HPP

#include "job/request.hpp"
#include "run/findings.hpp"

namespace fastcopy::run {

// The findings by severity, then by object. An ERROR only if the check itself is canceled or fails.
Findings check_clone(const job::Request &request);

}  // namespace fastcopy::run

#endif
