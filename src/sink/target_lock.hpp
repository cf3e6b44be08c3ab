// Locks on a target, and the privileges that they need.
//
// A lock request that waits blocks all requests that come after it. So privileges are checked
// before a lock is requested, and the exclusive lock of TRUNCATE is never requested while a weaker
// one is held: two sessions that both do that would wait for each other.
//
// Between chunks no process of a job holds a lock on the target: a session that wants to alter or
// truncate it need not wait for the end of a job that takes hours, and no queue forms behind it. A
// job whose target was truncated or rewritten meanwhile detects that (sink/target_files), and
// fails.
#ifndef FASTCOPY_SINK_TARGET_LOCK_HPP
#define FASTCOPY_SINK_TARGET_LOCK_HPP

#include <span>

#include "pg/postgres.hpp"

namespace fastcopy::sink {

// The tables that share rows with this one: itself, its partitions or children at all levels, and
// its parents at all levels. Palloc'd.
std::span<const Oid> read_family(Oid relid);

// What is done to a target beside writing rows: what its owner may do, to those of its partitions
// that have indexes, or, as foreign keys are set aside, to all.
enum class Maintenance { none, of_indexes, of_tables };

// An ERROR unless the current role may insert into the table, and, if asked, truncate it, or
// maintain it and its partitions. Takes no lock.
void check_may_write(Oid relid, bool truncate, Maintenance maintenance);

// Locks the table and its partitions or children exclusively, to the end of the transaction. The
// caller has checked the privileges, and holds no lock on them.
void lock_exclusively(Oid relid);

}  // namespace fastcopy::sink

#endif
