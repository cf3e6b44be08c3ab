// Whether the SQL objects in the database are those that this library works with.
//
// A new package puts a new library in place of the old one under databases whose SQL objects are still of
// the version before, until somebody runs ALTER EXTENSION there. Sessions and processes that have not
// loaded the library before then see both: functions declared with fewer arguments than the code reads, views
// with other columns, a ledger without those that are written. So each SQL function that has anything to do
// with a job begins with this check, and so does whatever starts without one.
#ifndef FASTCOPY_API_SQL_OBJECTS_HPP
#define FASTCOPY_API_SQL_OBJECTS_HPP

namespace fastcopy::api {

// An ERROR unless the extension in this database is of the library's version. Scripts of CREATE and ALTER
// EXTENSION are on their way there, and may call what they like.
void check_sql_objects();

}  // namespace fastcopy::api

#endif
