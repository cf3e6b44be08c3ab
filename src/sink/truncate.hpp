// TRUNCATE of a job's targets, before their rows come: one statement, as foreign keys may refer from
// one to another.
//
// An engine that keeps a table may empty it in a trigger: Citus empties shards so. With
// session_replication_role = replica such a trigger does not fire, and the rows of the shards would
// stay. So for a table that an engine keeps, TRUNCATE runs as in an ordinary session, whatever the
// job's triggers option is; and a SELECT by the table's name must find no row afterwards.
#ifndef FASTCOPY_SINK_TRUNCATE_HPP
#define FASTCOPY_SINK_TRUNCATE_HPP

#include <span>

#include "pg/postgres.hpp"

namespace fastcopy::sink {

// Empties the tables, as the current role, in the current transaction. `kept_by_engine` is from
// choose_writer, of all of them. `alone`: without the tables that inherit from them.
void truncate(std::span<const Oid> targets, bool alone, bool kept_by_engine);

}  // namespace fastcopy::sink

#endif
