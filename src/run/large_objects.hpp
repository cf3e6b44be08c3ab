// The contents of large objects that fastcopy.clone creates.
//
// They are copied by the coordinator, in the transaction that creates them: there is nothing to resume,
// and as large objects are not read by chunks, no worker could help.
#ifndef FASTCOPY_RUN_LARGE_OBJECTS_HPP
#define FASTCOPY_RUN_LARGE_OBJECTS_HPP

#include "run/running_job.hpp"

namespace fastcopy::run {

// Copies the contents of all large objects that the current transaction has created.
void copy_large_objects(RunningJob *job);

}  // namespace fastcopy::run

#endif
