// Whether the SQL objects in the database match this library.
//
// A new package replaces the library while the SQL objects of databases are still of the former
// version, until ALTER EXTENSION is run. Sessions and processes that load the new library then meet
// functions declared with fewer arguments than the code reads, views with other columns, and a
// ledger that lacks columns. So each SQL function that deals with a job starts with this check, and
// so does a process that no such function starts.
#ifndef FASTCOPY_API_SQL_OBJECTS_HPP
#define FASTCOPY_API_SQL_OBJECTS_HPP

namespace fastcopy::api {

// An ERROR unless the extension in this database has the library's version. Scripts of CREATE and
// ALTER EXTENSION are exempt.
void check_sql_objects();

}  // namespace fastcopy::api

#endif
