// Foreign keys of the target that are checked when all rows are there, each with one query.
//
// Two kinds. With session_replication_role = replica no row is checked, and PostgreSQL would go on to call the keys
// valid. And a key to the table itself is set aside with `indexes => 'rebuild'`: the row that is referred to may be in a
// chunk that is not copied yet.
//
// To set a key aside, pg_constraint is told that it is not valid, as after ALTER TABLE ... ADD ... NOT VALID: PostgreSQL's own
// word for a key that new rows obey and old ones may not. Nobody else's rows go unchecked; only the job's workers
// leave the check out, in their memory (Unchecked). The check in the end is that of VALIDATE CONSTRAINT, which is
// also the way out without the job.
#ifndef FASTCOPY_SINK_FOREIGN_KEYS_HPP
#define FASTCOPY_SINK_FOREIGN_KEYS_HPP

#include "job/markers.hpp"
#include "pg/postgres.hpp"

namespace fastcopy::sink {

// The target's valid foreign keys; only those to the table itself, or all. Keys of partitions count with their
// parent's.
job::TargetForeignKeys find_foreign_keys(Oid target, bool to_itself_only);

// Marks the key, and those that its partitions have by it, not valid or valid. One that has been dropped is passed
// over. The caller has locked the table.
void set_validated(Oid foreign_key, bool validated);

// Marks a key that is set aside not valid again if somebody has validated it meanwhile: rows that were not checked may
// have come since. False if its table is locked by somebody and the caller does not want to wait.
bool keep_aside(Oid foreign_key, bool wait);

// Whether the key exists and is not valid.
bool is_set_aside(Oid foreign_key);

// Checks all rows by one query: an ERROR that names the first orphan if there is one. Locks the table against
// changes of its shape. False if the key has been dropped.
bool check_foreign_key(Oid foreign_key);

// From now on, to the end of the transaction, this process does not check rows that it inserts into the target against
// these keys.
void leave_unchecked(Oid target, const Oid *foreign_keys, int count);

// Ends that, before the transaction commits.
void check_again();

}  // namespace fastcopy::sink

#endif
