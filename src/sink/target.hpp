// The target table: which tables accept rows, from which role, and how columns match the source's.
//
// The checks are those of COPY target FROM STDIN for the current role. The coordinator makes them
// before a job exists, and each worker again in each chunk's transaction: a privilege may have been
// revoked since, or the table altered or dropped.
#ifndef FASTCOPY_SINK_TARGET_HPP
#define FASTCOPY_SINK_TARGET_HPP

#include "job/target_columns.hpp"

namespace fastcopy::sink {

// Opens and locks the target for inserting. An ERROR if it is gone or cannot be inserted into.
Relation open_target(Oid relid);

// What CopyFrom needs: a parse state whose range table has been checked for the role's privileges
// on these columns (unquoted names), and for row security.
ParseState *check_insert(Relation target, int ncolumns, const char *const *columns);

// An ERROR unless the columns still have the base types that the format was chosen for.
void check_types(Relation target, int ncolumns, const char *const *columns, const Oid *types);

// Whether rows may be stored on other servers, which commit independently.
bool stores_elsewhere(Relation target);

// Whether the target or one of its partitions is a foreign table.
bool has_foreign_leaf(Relation target);

// Whether fewer rows may be stored than are sent: a trigger may drop rows, and views and foreign
// tables may report any count.
bool may_drop_rows(Relation target);

// The target's columns, palloc'd.
job::TargetColumns read_columns(Relation target);

// Whether an INSERT fires triggers of the user. Those of foreign keys do nothing in a job of many
// tables.
bool has_insert_trigger(Relation target);

}  // namespace fastcopy::sink

#endif
