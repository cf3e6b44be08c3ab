// Locks on a target, and who may ask for them.
//
// A lock request that has to wait stops everybody who comes after it, whatever becomes of it. So privileges
// are checked before a lock is asked for, and the strong lock of TRUNCATE is never asked for while a weaker one
// is held: two sessions that both do that wait for one another.
//
// Between chunks nobody holds a lock on the target: whoever wants to alter or empty it need not wait for the end
// of a job that takes hours, and nobody queues behind them for so long. A job whose target was emptied or
// rewritten meanwhile notices (sink/target_files), and fails.
#ifndef FASTCOPY_SINK_TARGET_LOCK_HPP
#define FASTCOPY_SINK_TARGET_LOCK_HPP

#include <span>

#include "pg/postgres.hpp"

namespace fastcopy::sink {

// The tables that hold rows of this one, or whose rows this one holds: itself, its partitions or children at
// all levels, and its parents at all levels. Palloc'd.
std::span<const Oid> read_family(Oid relid);

// An ERROR unless the current role may insert into the table, empty it, and own it and its partitions, as far as
// that is what the job is to do. Takes no lock.
void check_may_write(Oid relid, bool truncate, bool own);

// Locks the table and its partitions or children against everybody else, to the end of the transaction. The
// caller has checked that the role may, and holds no lock on them.
void lock_exclusively(Oid relid);

}  // namespace fastcopy::sink

#endif
