// How a job's table is read and written: chosen by the coordinator, once for the table, and
// recorded with the reasons.
//
// plan/front_door.hpp and sink/writer.hpp have the rules. Workers find the reader in each chunk,
// and choose the writer again for each chunk.
#ifndef FASTCOPY_RUN_WAYS_HPP
#define FASTCOPY_RUN_WAYS_HPP

#include "plan/front_door.hpp"
#include "run/running_job.hpp"
#include "sink/writer.hpp"

namespace fastcopy::run {

// Both log the choice with the time that it took. choose_reader turns the leaves into what is read.
plan::Reader choose_reader(const RunningJob *job, const plan::SourceTable &table,
                           const plan::RowShape &shape, plan::Leaves *leaves);
// An ERROR if the job asks for what the writer cannot do.
sink::Writer choose_writer(const RunningJob *job, Relation target, const plan::RowShape &shape);

// For a job that is resumed: an ERROR unless the remaining chunks can still be read as planned. If
// the table was distributed since, or rows compressed, ONLY would not find them.
void check_ways(const RunningJob *job, const plan::Leaves &leaves);

// Records the choice in the ledger, and for the waiting session. `reader` is nullptr if nothing is
// left to be read.
void note_ways(RunningJob *job, const plan::Reader *reader, const sink::Writer &writer);

}  // namespace fastcopy::run

#endif
