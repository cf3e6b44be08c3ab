// The search_path under which the source runs a statement.
//
// Statements of this extension schema-qualify each function, operator and type, and run under an
// empty search_path: objects that other users create in `public` cannot be called (CVE-2018-1058),
// and names of objects print in full. But PostgreSQL also resolves names in statements that others
// wrote: to plan any query on a table, it inlines the SQL functions in the table's index
// expressions, and a view or filter may call functions that rely on the caller's search_path. Under
// an empty one they fail.
//
// So if a statement on the job's table fails because a function, operator, type or table was not
// found, the job continues under the search_path that the role has on the source by default, as if
// it read the table in a session of its own; pg_catalog comes first, so that nothing can mask what
// pg_catalog has. The extension's statements mean the same under any path. A filter is the
// caller's, and now means what it would in that session. Queries on the catalogs stay under the
// empty path.
//
// If a column's values are names of objects (regclass and its like), they would print without their
// schemas: then the error stands.
#ifndef FASTCOPY_SOURCE_SEARCH_PATH_HPP
#define FASTCOPY_SOURCE_SEARCH_PATH_HPP

#include "source/connection.hpp"

namespace fastcopy::source {

// Whether an error is about a name that may be found under another search_path.
bool is_unresolved_name(int sqlerrcode);

// Sets the role's own search_path, after pg_catalog; or an empty one.
void use_own_search_path(Connection *connection);
void use_no_search_path(Connection *connection);

// Runs a statement on the job's table, under the search_path chosen by the connection's
// own_search_path.
Rows query_table(Connection *connection, const char *sql);

// After an error of the source in a transaction that is to continue: rolls back to the savepoint.
void roll_back_to(Connection *connection, const char *savepoint);

}  // namespace fastcopy::source

#endif
