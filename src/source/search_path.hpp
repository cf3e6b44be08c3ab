// Under which search_path the source runs a statement.
//
// What we write has the schema of each function, operator and type in it, and runs under an empty search_path: nothing
// that somebody has put into `public` can get into it (CVE-2018-1058), and names of objects print in full. But
// PostgreSQL also resolves names that we did not write: to plan any query on a table, it looks into the SQL functions in
// the table's index expressions, and a view or filter may call functions that rely on the search_path of who calls
// them. Under an empty one they fail.
//
// So where a statement on the job's table fails as it has found no such function, operator, type or table, the
// job goes on under the search_path that the role has on the source by default, as if it read the table in a session of
// its own: with pg_catalog before all else, so that nothing is looked for there that pg_catalog has. Our own statements
// mean the same under any. A filter is the caller's, and may now mean what it would in that session. Questions to the
// catalogs stay under the empty one.
//
// Not so where a column's values are names of objects (regclass and its like), which would print without their
// schemas: then the error stands.
#ifndef FASTCOPY_SOURCE_SEARCH_PATH_HPP
#define FASTCOPY_SOURCE_SEARCH_PATH_HPP

#include "source/connection.hpp"

namespace fastcopy::source {

// Whether an error is of a name that may be found under another search_path.
bool is_unresolved_name(int sqlerrcode);

// From now on: the role's own search_path, behind pg_catalog; or none.
void use_own_search_path(Connection *connection);
void use_no_search_path(Connection *connection);

// Runs a statement on the job's table, under the search_path that the connection's own_search_path says.
Rows query_table(Connection *connection, const char *sql);

// After an error of the source in a transaction that is to go on: goes back to the savepoint.
void roll_back_to(Connection *connection, const char *savepoint);

}  // namespace fastcopy::source

#endif
