// The target table: what may be inserted into, by whom, and how its columns take the source's.
//
// The checks are those of COPY target FROM STDIN for the current role. They are made by the coordinator
// before a job exists, and again by each worker in each chunk's transaction: a privilege may have been
// revoked since, the table altered or dropped.
#ifndef FASTCOPY_SINK_TARGET_HPP
#define FASTCOPY_SINK_TARGET_HPP

#include "pg/postgres.hpp"

namespace fastcopy::sink {

// Opens and locks the target for inserting. An ERROR if it is gone or cannot be inserted into.
Relation open_target(Oid relid);

// What CopyFrom needs: a parse state whose range table has been checked for the role's privileges on
// these columns (unquoted names), and for row security.
ParseState *check_insert(Relation target, int ncolumns, const char *const *columns);

// An ERROR unless the columns still have the base types that the format of the wire was chosen for.
void check_types(Relation target, int ncolumns, const char *const *columns, const Oid *types);

// Whether rows may end up on other servers, whose commit is not ours.
bool stores_elsewhere(Relation target);

// Whether fewer rows may be stored than are sent: a trigger may drop them, and what views and foreign
// tables count is their own affair.
bool may_drop_rows(Relation target);

// The type of the base type of a target's column, for choosing the format of the wire.
struct TargetColumn {
    bool found;
    bool generated;
    Oid type;               // domains looked through
    const char *type_name;  // unquoted
    char type_kind;
    bool built_in;
    bool is_array;
    bool has_binary;
    const char *layout;  // as in plan::SourceColumn
};
TargetColumn find_column(Relation target, const char *name);

}  // namespace fastcopy::sink

#endif
