// The coordinator's part of making definitions once all rows are in: indexes that were set aside, and
// what fastcopy.clone creates after the rows. It staffs the crew, stage by stage (job/definition.hpp),
// until all are made.
#ifndef FASTCOPY_RUN_DEFINITION_PHASE_HPP
#define FASTCOPY_RUN_DEFINITION_PHASE_HPP

#include "job/definition.hpp"
#include "run/running_job.hpp"

namespace fastcopy::run {

// Returns when the definitions of all stages up to this one are made. When workers have exited
// without an outcome, the next ones look at all definitions of the stage again, and skip those that
// are made.
void make_definitions(RunningJob *job, job::Stage last);

}  // namespace fastcopy::run

#endif
