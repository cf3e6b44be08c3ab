// How a job's table is read and written: chosen by the coordinator, once for the table, and written down with the reason.
//
// plan/front_door.hpp and sink/writer.hpp say how. Workers need not be told of the reader, which is in each chunk; they
// ask for the writer again.
#ifndef FASTCOPY_RUN_WAYS_HPP
#define FASTCOPY_RUN_WAYS_HPP

#include "plan/front_door.hpp"
#include "run/running_job.hpp"
#include "sink/writer.hpp"

namespace fastcopy::run {

// An ERROR if the job wants what the writer cannot do.
sink::Writer choose_writer(const RunningJob *job, Relation target, const plan::RowShape &shape);

// Of a job that is resumed: an ERROR unless the chunks that are left can still be read as they were planned. A table may
// have been distributed since, or its rows compressed; with ONLY, they would not be found.
void check_ways(const RunningJob *job, const plan::Leaves &leaves);

// Tells the log, the ledger, and the session that waits. `reader` is nullptr when nothing is left to be read.
void note_ways(RunningJob *job, const plan::Reader *reader, const sink::Writer &writer);

}  // namespace fastcopy::run

#endif
