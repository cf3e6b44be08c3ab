// TRUNCATE of a job's target, before its rows come.
//
// Like everything that goes by the table's name it may be an engine's: Citus empties shards in a trigger on TRUNCATE,
// which session_replication_role = replica would keep from firing. Then the rows of the shards would stay. So for a table that an engine
// keeps, TRUNCATE runs as in an ordinary session, whatever the job's triggers option says of its rows; and afterwards a
// SELECT by the table's name has to find none.
#ifndef FASTCOPY_SINK_TRUNCATE_HPP
#define FASTCOPY_SINK_TRUNCATE_HPP

#include "pg/postgres.hpp"

namespace fastcopy::sink {

// Empties the table, as the current role, in the current transaction. `kept_by_engine` is from choose_writer.
void truncate(Oid target, bool kept_by_engine);

}  // namespace fastcopy::sink

#endif
