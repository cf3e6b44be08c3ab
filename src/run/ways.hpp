// How a job's tables are read and written: chosen by the coordinator, once for each table, and
// recorded with the reasons.
//
// plan/front_door.hpp and sink/writer.hpp have the rules. Workers find the reader in each chunk,
// and choose the writer again for each chunk.
#ifndef FASTCOPY_RUN_WAYS_HPP
#define FASTCOPY_RUN_WAYS_HPP

#include "job/ledger_ways.hpp"
#include "plan/front_door.hpp"
#include "run/running_job.hpp"
#include "sink/writer.hpp"

namespace fastcopy::run {

// Both log the choice with the time that it took. choose_reader turns the leaves into what is read.
plan::Reader choose_reader(const RunningJob *job, const job::Table &request,
                           const plan::SourceTable &table, const plan::RowShape &shape,
                           plan::Leaves *leaves);
// An ERROR if the job asks for what the writer cannot do.
sink::Writer choose_writer(const RunningJob *job, const job::Table &request, Relation target,
                           const plan::RowShape &shape);

// Whether a table that is cut into one chunk may be copied together with others, in one transaction:
// it is small, its rows are in one heap on either side, and no trigger of the target fires, which
// might lock what other workers lock in another order.
bool is_small(const RunningJob *job, const plan::Reader &reader, const plan::Leaves &leaves,
              Relation target, const sink::Writer &writer);

// For a job that is resumed: an ERROR unless the remaining chunks can still be read as planned. If
// the table was distributed since, or rows compressed, ONLY would not find them.
void check_ways(const RunningJob *job, int table, const plan::Leaves &leaves);

// The choice as the ledger has it. Records for the waiting session what start is to warn of.
// `reader` is nullptr if nothing is left to be read.
job::ledger::Ways take_ways(RunningJob *job, const plan::Reader *reader,
                            const sink::Writer &writer);

}  // namespace fastcopy::run

#endif
