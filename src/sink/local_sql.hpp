// SQL statements on the target that are not COPY: TRUNCATE, ANALYZE, REINDEX.
#ifndef FASTCOPY_SINK_LOCAL_SQL_HPP
#define FASTCOPY_SINK_LOCAL_SQL_HPP

#include "pg/postgres.hpp"

namespace fastcopy::sink {

// Runs a statement as the current role, in the current transaction.
void run_local(const char *sql);

// A relation's name as of now, quoted and schema-qualified. An ERROR if the relation is gone; lock
// it first.
char *quoted_relation(Oid relid);

}  // namespace fastcopy::sink

#endif
