// Which job has which targets.
//
// A coordinator claims its job, and with it the job's targets, before it changes anything. A job
// that truncates its targets, or sets indexes or foreign keys aside, shares them with no other job.
//
// The targets of a job that may have several are in a segment of the coordinator's, as their number
// is not known when the slot is reserved.
#ifndef FASTCOPY_JOB_CLAIM_HPP
#define FASTCOPY_JOB_CLAIM_HPP

#include <span>

#include "job/registry.hpp"

namespace fastcopy::job {

// Assigns the job to this slot. Fails if another coordinator runs it (running), if a job that
// cannot share a target has it (target_taken), or if workers of a former coordinator of either
// have not exited yet (being_left). `family` are the tables that share rows with the
// targets, in order.
enum class Claim { mine, running, target_taken, being_left };
struct Claimed {
    Claim claim;
    int64 other;  // the job that has the target,
    Oid target;   // and that target
};
Claimed claim_job(JobSlot *slot, int64 job, bool exclusive, std::span<const Oid> targets,
                  std::span<const Oid> family);

}  // namespace fastcopy::job

#endif
