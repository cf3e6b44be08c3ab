// A run of fastcopy.sync: which rows of the source the target does not have yet.
//
// The target holds, for each row that was visible in the snapshot S of the last run, one row; a row
// is known by its key. What a run under a snapshot T has to copy are the rows that are visible in T
// and were not in S. Rows are only ever inserted; these are the promises of the table's users. Two
// sets make them up:
//
//   above the watermark   the key is greater than the greatest one of S. The key's index finds them.
//   late                  the key is less. A transaction that took its key before others, and has
//                         committed after them.
//
// A late row's transaction was in progress in S, or has taken its id since. A subtransaction's id is
// greater than that of its transaction, and is not listed in a snapshot. So a late row's xmin is at
// or above the xmin of S, whoever wrote it. The reverse does not hold: between xmin and xmax are
// transactions that S did see. A candidate is therefore looked up in the target by its key, and is
// late if it is not there. That is exact for savepoints, prepared transactions, and for rows that a
// resumed run has copied under a snapshot of its own; but no index has the xmin, so it reads the
// table on the source, without sending it.
//
// The scan is left out only when
//
//   - nothing at all has run on the source since S, in which nothing was open: nothing is new; or
//   - nothing was open in S, and the source's statistics count as many inserted rows, since the last
//     run that did scan (the base), as were found above the watermarks since.
//
// The second rule is for keys that were taken before S by sessions that had no transaction id yet,
// or that keep a cache of them: no snapshot knows of these. Statistics arrive with a delay: a late
// row may be committed before it is counted, and be balanced by nothing. So the base stays where it
// is until a scan, and the late row makes the counts differ as soon as it is counted: it may come a
// run later, and is not lost. Rows that were rolled back are counted too, and cause a scan, no harm
// else. Counts of another start of the source, of other partitions, after a reset, on a standby, or
// of a source before version 15, which may miss some, are not compared: scan.
//
// A partition that is attached brings rows that are older than S: after any change of the table's
// partitions or children, a run compares all keys.
//
// Transaction ids can be compared only within the history of one server (plan/markers). A server
// that has another, a watermark that is above all keys, and keys that were used again are an ERROR;
// rescan => true then compares all keys, whatever their xmin.
//
// A run that is not done is finished by the next call, with the watermark that it was planned
// with: its chunks have conditions that exclude what lies above. What was committed in between has
// an xmin at or above that of its own, first snapshot: the run after it scans.
#ifndef FASTCOPY_RUN_SYNC_HPP
#define FASTCOPY_RUN_SYNC_HPP

#include "job/ledger.hpp"
#include "run/preparation_steps.hpp"

namespace fastcopy::run::sync {

inline constexpr const char *rescan_hint =
    "fastcopy.sync(..., rescan => true) compares all keys, and copies the rows whose keys the "
    "target does not have.";

struct Run {
    bool whole;  // the planner cuts the table
    plan::Plan plan;
    const char *condition;  // of the rows in the plan; nullptr: all that the shape's filter lets in
    job::ledger::Watermark next;
};

// Adds a condition to the shape's filter.
void narrow(plan::RowShape *shape, const char *condition);

// An ERROR if the request does not have the key and the filter of an earlier run.
void check_same(const job::Request &request, const job::ledger::Watermark &last);

// Makes this process the only one that synchronizes the pair, until it exits; an ERROR if another
// does, unless the request is to wait.
void take_turn(RunningJob *job);

// Releases the turn before this process exits: the caller of a run that had nothing to do may call
// again at once. Within a transaction.
void give_up_turn(RunningJob *job);

// Whether no transaction has run on the source since the last run; then job->nothing_new is set.
// Asks as little as possible.
bool nothing_has_run(RunningJob *job, const SourceFacts &facts);

// Decides what to copy, and narrows the filter of the shape to it. Sets job->nothing_new, with the
// watermark written, if nothing is.
Run decide(RunningJob *job, SourceFacts *facts, plan::RowShape *shape);

// Writes the watermark that the job is to reach.
void write(RunningJob *job, Run *run);

// An ERROR if transaction ids of the source cannot be compared with those of then.
void check_history(const job::Request &request, const job::SourceMarkers &then,
                   const SourceFacts &facts);

}  // namespace fastcopy::run::sync

#endif
