// The target's indexes while rows are loaded: set aside, and rebuilt afterwards.
//
// Building an index on a full table is much cheaper than adding each row to it. The usual way, to
// drop indexes and constraints and to create them again, has two risks: a crash in between loses
// definitions that were not recorded, and what is created again differs from what was dropped
// (comments, statistics targets, CLUSTER marks, replica identity, views and foreign keys that
// depend on a primary key).
//
// So nothing is dropped. An index is set aside by clearing indisvalid and indisready in pg_index,
// the state in which a failed CREATE INDEX CONCURRENTLY leaves one: it exists with all its
// dependents, rows are not added to it, no plan uses it, and it enforces no uniqueness. REINDEX
// rebuilds it, checks it, and sets both flags again, as documented for invalid indexes. Both steps
// are transactional. The definition always exists, and REINDEX TABLE restores the indexes without
// this extension.
//
// HOT is safe: an index that is not ready still counts when PostgreSQL decides which columns are
// indexed. VACUUM skips such an index, so it may point to removed rows, but no scan uses it.
#ifndef FASTCOPY_SINK_INDEXES_HPP
#define FASTCOPY_SINK_INDEXES_HPP

#include "job/markers.hpp"

namespace fastcopy::sink {

// The indexes of the target's tables, in the order in which they should be built. The caller has
// locked these tables exclusively. An ERROR unless the current role owns them.
job::TargetIndexes list_indexes(Oid target);

// Clears the flags, unless the index was dropped. The caller has locked the index's table
// exclusively.
void set_aside(Oid index);

// Whether the index is maintained and used, or was dropped: in both cases there is nothing to
// build.
bool is_usable_or_gone(Oid index);

// Locks the index and its table as REINDEX does, so that the index cannot be dropped or renamed
// before the end of the transaction. False if it was dropped.
bool lock_for_build(Oid index);

// Rebuilds an index that is locked for that. An ERROR if the rows of its table violate its
// uniqueness.
void rebuild(Oid index);

}  // namespace fastcopy::sink

#endif
