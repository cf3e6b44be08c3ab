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

// Locks the target's tables against everybody else, as DROP INDEX would, and returns their indexes in the order
// in which they should be built. An ERROR unless the current role owns these tables.
job::TargetIndexes find_indexes(Oid target);

// Clears the flags. The caller has the locks of find_indexes. An index that has been dropped is passed over.
void set_aside(Oid index);

// Whether the index is maintained and used, or has been dropped: either way there is nothing to build.
bool needs_no_build(Oid index);

// Builds it, with its table locked against writers. An ERROR if its rows break its uniqueness.
void rebuild(Oid index);

}  // namespace fastcopy::sink

#endif
