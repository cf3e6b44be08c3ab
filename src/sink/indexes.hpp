// The target's indexes while rows are loaded: set aside, and built anew afterwards.
//
// To build an index from a full table is much cheaper than to add every row to it. The usual way is to drop
// indexes and constraints and to create them again, and it has two dangers: a crash in between loses what
// nobody wrote down, and what is created again is never quite what was dropped (comments, statistics
// targets, CLUSTER marks, replica identity, views and foreign keys that depend on a primary key).
//
// So nothing is dropped. An index is set aside by clearing indisvalid and indisready in pg_index, the state
// in which a CREATE INDEX CONCURRENTLY that failed leaves one: it exists with all that belongs to it,
// rows are not added to it, no plan uses it, uniqueness is not enforced by it. REINDEX builds it anew,
// checks it, and sets both flags again: that is what REINDEX is documented to do to an invalid index.
// Both are transactional. Whatever happens, the definition is never away, and if all else fails REINDEX TABLE
// brings the indexes back without us.
//
// HOT is safe: an index that is not ready still counts when PostgreSQL decides which columns are indexed.
// VACUUM passes such an index over, and it may point to rows that are long gone: nobody reads it.
#ifndef FASTCOPY_SINK_INDEXES_HPP
#define FASTCOPY_SINK_INDEXES_HPP

#include "job/markers.hpp"

namespace fastcopy::sink {

// The indexes of the target's tables, in the order in which they should be built. The caller has locked these
// tables exclusively. An ERROR unless the current role owns them.
job::TargetIndexes list_indexes(Oid target);

// Clears the flags. The caller has locked the index's table exclusively. Does nothing to an index that has been
// dropped.
void set_aside(Oid index);

// Whether the index is maintained and used, or has been dropped: either way there is nothing to build.
bool is_usable_or_gone(Oid index);

// Locks the index and its table as REINDEX does, so that nobody can drop or rename the index before the end of
// the transaction. False if it has been dropped.
bool lock_for_build(Oid index);

// Builds an index that is locked for it. An ERROR if the rows of its table break its uniqueness.
void rebuild(Oid index);

}  // namespace fastcopy::sink

#endif
