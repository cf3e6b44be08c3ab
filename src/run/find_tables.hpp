// The tables of a job of fastcopy.clone: found on the source by patterns, and here by their names.
//
// Taken are ordinary and partitioned tables; the patterns are those of pg_dump -t and -T. A
// partition goes with the table that it is a partition of, if that is taken. Without patterns, what
// is taken is what pg_dump takes: not the system's tables, and not those of extensions.
#ifndef FASTCOPY_RUN_FIND_TABLES_HPP
#define FASTCOPY_RUN_FIND_TABLES_HPP

#include "run/running_job.hpp"

namespace fastcopy::run {

// Connects to the source, and sets the tables of the job's request, in order of their names. An
// ERROR if a pattern or a filter has no table, if there is no table at all, or if tables do not
// exist here.
void find_tables(RunningJob *job);

}  // namespace fastcopy::run

#endif
