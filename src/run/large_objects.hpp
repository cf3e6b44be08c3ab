// The large objects of a database that fastcopy.clone creates.
//
// They are not pg_dump's: whether it has them among what precedes the data depends on its version, and
// their contents would go through a file. They are copied by the coordinator, in the transaction that
// creates them: there is nothing to resume, and as they are not read by chunks, no worker could help.
#ifndef FASTCOPY_RUN_LARGE_OBJECTS_HPP
#define FASTCOPY_RUN_LARGE_OBJECTS_HPP

#include "run/running_job.hpp"

namespace fastcopy::run {

// Creates all large objects of the source, with their owners, privileges, comments and contents. An
// ERROR if one of that id exists.
void copy_large_objects(RunningJob *job);

}  // namespace fastcopy::run

#endif
