// The rows of a source table that are newer than a watermark: what fastcopy.sync asks the source.
//
// Rows above the watermark are found through the key's index. Those below, whose transactions had
// not committed when the watermark was taken, can be found by their xmin only, which no index has:
// that reads the table. See run/sync.hpp for when that is needed.
#ifndef FASTCOPY_PLAN_NEWER_ROWS_HPP
#define FASTCOPY_PLAN_NEWER_ROWS_HPP

#include "plan/markers.hpp"
#include "plan/planner.hpp"
#include "plan/split_key.hpp"

namespace fastcopy::plan {

// How many rows the source's statistics say to have been inserted, updated and deleted so far.
struct Counters {
    bool usable;          // false: on a standby, with track_counts off
    bool complete;        // false: some may be missing for good, as before version 15
    const char *epoch;    // counters of another one cannot be compared with these
    const char *members;  // a hash of the table's partitions or children
    int64 inserted;
    int64 updated;
    int64 deleted;
};

// Reads them anew, also within a transaction.
Counters read_counters(source::Connection *connection, const SourceTable &table);

// The key of the table, which must be NOT NULL and unique by itself; anything else is an ERROR.
SplitKey find_unique_key(source::Connection *connection, const SourceTable &table,
                         const char *column);

// The greatest key as text; nullptr: the table is empty.
const char *greatest_key(source::Connection *connection, const SourceTable &table,
                         const SplitKey &key);

// Whether the first key is below the second, by the source.
bool is_below(source::Connection *connection, const SplitKey &key, const char *a, const char *b);

// The number of rows above one key (nullptr: all) and not above another, and every so many of them a
// bound between chunks.
struct Tail {
    int64 rows;
    const char *first;  // the least of their keys
    int bound_count;
    const char **bounds;
};
Tail read_tail(source::Connection *connection, const SourceTable &table, const SplitKey &key,
               const char *above, const char *up_to);

// The condition that the key is above one key (nullptr: none) and not above another (nullptr: no row
// is).
char *between(const SplitKey &key, const char *above, const char *up_to);

// The condition of such rows and of those with these keys; above == nullptr: of the latter alone.
char *tail_condition(const SplitKey &key, const char *above, const char *up_to, const char **late,
                     int nlate);

// Keys of rows, not above `up_to`, that the source reads by xmin or, without a snapshot, all. Called
// until it returns no key.
struct KeyBatch {
    int count;
    const char **keys;
    bool *rewritten;  // the row is newer than the last snapshot
};
void open_keys(source::Connection *connection, const SourceTable &table, const SplitKey &key,
               const char *up_to, const char *filter, const char *snapshot,
               const char *last_snapshot);
KeyBatch fetch_keys(source::Connection *connection);
void close_keys(source::Connection *connection);

// Chunks of the rows in a tail, and of the rows with these keys.
Plan cut_tail(const SourceTable &table, const SplitKey &key, const Tail &tail, const char **late,
              int nlate);

}  // namespace fastcopy::plan

#endif
