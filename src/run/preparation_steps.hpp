// The steps that new and resumed jobs have in common before they run. Each is within the
// transaction that prepares the job.
#ifndef FASTCOPY_RUN_PREPARATION_STEPS_HPP
#define FASTCOPY_RUN_PREPARATION_STEPS_HPP

#include "plan/newer_rows.hpp"
#include "plan/source_table.hpp"
#include "run/running_job.hpp"

namespace fastcopy::run {

// Facts about a source table, as of the job's snapshot.
struct TableFacts {
    plan::SourceTable table;
    plan::SourceColumns columns;
    plan::Leaves leaves;
    job::TableMarkers markers;
};

// Facts about the source.
struct SourceFacts {
    int ntables;
    TableFacts *tables;    // as those of the request
    const char *position;  // in the WAL, before the snapshot was taken
    job::SourceMarkers markers;
    plan::MarkerWait marker;
    plan::Counters counters;  // of a run of fastcopy.sync: before the snapshot was taken

    // Of a run of fastcopy.sync.
    const TableFacts &only_table() const {
        Assert(ntables == 1);
        return tables[0];
    }
};

// Whether the job shares its targets with no other job: it needs them locked exclusively, once.
bool needs_exclusive_lock(const job::Request &request);

// An ERROR unless the job's role has the privileges on all targets. Takes no lock.
void check_may_write(const job::Request &request);

// Assigns the job and its targets to this process, and shows the job in pg_stat_activity. Waits for
// workers of the job's former coordinator, or of another job on the target, that were told to exit
// and have not yet.
void take_up(RunningJob *job, int64 id);

// Connects, finds the tables, exports the snapshot and reads the columns.
SourceFacts open_source(RunningJob *job);

// Finds out under which search_path the source can run the workers' statements. `shapes` has one
// per table.
void probe_source(RunningJob *job, const SourceFacts &facts, const plan::RowShape *shapes);

// Reads the leaves and markers, and lets workers join. After the probe: if the role may not read
// a table, the probe's error is the better one.
void read_rest(RunningJob *job, SourceFacts *facts);

// Starts workers for that many chunks.
void launch_crew(RunningJob *job, int chunks);

void prepare_new(RunningJob *job);
void prepare_resumed(RunningJob *job);

}  // namespace fastcopy::run

#endif
