// ANALYZE of one table without its partitions.
//
// Before version 18 the statement has no ONLY: of a partitioned table it reads every partition once
// for that partition's statistics, and once more for the parent's. PostgreSQL itself can do the
// latter alone: so autovacuum calls it.
//
// A process has one ring of buffers for all tables that it analyzes, as a statement has.
#ifndef FASTCOPY_PG_ANALYZE_HPP
#define FASTCOPY_PG_ANALYZE_HPP

#include "pg/postgres.hpp"

namespace fastcopy::pg {

// Collects the statistics of a table that the caller has locked as ANALYZE does, as the current
// role, in the current transaction. A role without the privilege gets PostgreSQL's WARNING.
void analyze_only(Oid relid);

}  // namespace fastcopy::pg

#endif
