// Constraints of the target that look at more than one row.
//
// A job commits chunk by chunk, and several at a time. To most constraints that makes no difference: they look at one
// row, or at another table. It does to those that a later row of the same copy may satisfy:
//
//   foreign keys to the table itself   the row that is referred to may be in another chunk
//   deferred unique, exclusion         are checked at the end of the transaction
//   constraint triggers                may look at anything, at the end of the statement or of the transaction
//
// They are found before the job begins, among the triggers that fire in the session's session_replication_role. Foreign
// keys can be set aside and checked in the end (sink/foreign_keys), deferred indexes likewise (sink/indexes), if
// the caller asks for `indexes => 'rebuild'`. With any other, the table goes in one transaction, as by COPY.
#ifndef FASTCOPY_SINK_ACROSS_ROWS_HPP
#define FASTCOPY_SINK_ACROSS_ROWS_HPP

#include "pg/postgres.hpp"

namespace fastcopy::sink {

struct AcrossRows {
    const char *name;       // unquoted, of a constraint; nullptr: there is none
    const char *table;      // which has it
    const char *kind;       // for people
    bool rebuild_would_do;  // if the caller owned the table and asked for it
};

// The first constraint that looks at more than one row, without those that `set_aside` leaves for the end.
AcrossRows find_across_rows(Oid target, bool set_aside);

// Whether a table that the target's foreign key refers to is the target, a part of it, or what it is a part of.
bool is_same_table(Oid target, Oid other);

}  // namespace fastcopy::sink

#endif
