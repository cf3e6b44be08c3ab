// Constraints of the target that look at more than one row.
//
// A job commits chunk by chunk, several at a time. Most constraints look at one row, or at another
// table, and are not affected. The others are those that a later row of the same copy may satisfy:
//
//   foreign keys to the table itself   the referenced row may be in another chunk
//   deferred unique, exclusion         are checked at the end of the transaction
//   constraint triggers                may look at anything, at the end of statement or transaction
//
// They are found before the job begins, among the triggers that fire in the session's
// session_replication_role. With `indexes => 'rebuild'`, and in a job of many tables, foreign keys are
// set aside and checked at the end (sink/foreign_keys), and so are deferred indexes (sink/indexes). For all others, the
// table is copied in one transaction, as by COPY.
#ifndef FASTCOPY_SINK_ACROSS_ROWS_HPP
#define FASTCOPY_SINK_ACROSS_ROWS_HPP

#include "pg/postgres.hpp"

namespace fastcopy::sink {

struct AcrossRows {
    const char *name;       // unquoted, of the constraint; nullptr: no such constraint
    const char *table;      // unquoted, of its table
    const char *kind;       // for messages
    bool rebuild_would_do;  // with indexes => 'rebuild', it would be set aside
};

// What is set aside, and checked at the end: indexes, with valid foreign keys to the table itself; or
// all foreign keys.
struct SetAside {
    bool indexes;
    bool all_foreign_keys;
};

// The first constraint that looks at more than one row and is not set aside.
AcrossRows find_across_rows(Oid target, SetAside set_aside);

// Whether the table is the target, a partition or child of it, or a partitioned table above it.
bool is_same_table(Oid target, Oid other);

}  // namespace fastcopy::sink

#endif
