// Foreign keys of the target that are checked once all rows are copied, each with one query.
//
// There are two kinds. With session_replication_role = replica, no row is checked, though
// PostgreSQL still calls the keys valid. And keys are set aside where the referenced row may be in
// a chunk that is not copied yet: with `indexes => 'rebuild'`, keys to the table itself; in a job of
// many tables, all.
//
// A key is set aside by marking it not valid in pg_constraint, as ALTER TABLE ... ADD ... NOT VALID
// does. Rows of other sessions are still checked: only the job's workers skip the check, in their
// memory (Unchecked). The check at the end is that of VALIDATE CONSTRAINT, which also repairs a key
// without the job.
#ifndef FASTCOPY_SINK_FOREIGN_KEYS_HPP
#define FASTCOPY_SINK_FOREIGN_KEYS_HPP

#include "job/markers.hpp"
#include "pg/postgres.hpp"

namespace fastcopy::sink {

// The target's foreign keys. Keys of partitions count with their parent's, unless they are valid and
// the parent's is not. `left_aside`: OIDs of keys that count as valid, since another job that did
// not end as done has set them aside.
enum class Which { valid, valid_to_itself, all };
job::TargetForeignKeys find_foreign_keys(Oid target, Which which, const List *left_aside);

// Marks the key, and those that partitions inherit from it, valid or not valid. Skips a key that
// was dropped. The caller has locked the table and its partitions.
void set_validated(Oid foreign_key, bool validated);

// Marks a key that is set aside not valid again if another session has validated it, or that of a
// partition, meanwhile: rows that were not checked may have come since. Waits for locks.
void keep_aside(Oid foreign_key);

// OIDs of keys that partitions of the table have by themselves, that are not valid, and whose
// definitions are this, as pg_get_constraintdef prints them. The caller has locked the partitions.
List *find_keys_not_valid(Oid table, const char *definition);

// Whether the key is inherited from that of a partitioned table.
bool is_inherited(Oid foreign_key);

// Whether the key exists and is not valid.
bool is_set_aside(Oid foreign_key);

// Checks all rows with one query: a violation is an ERROR that names the first row. Locks the table
// and its partitions against ALTER TABLE. False if the key was dropped.
bool check_foreign_key(Oid foreign_key);

// Until the end of the transaction, this process does not check rows that it inserts into the
// target against these keys.
void leave_unchecked(Oid target, const Oid *foreign_keys, int count);

// Ends that. Call it before the commit.
void check_again();

}  // namespace fastcopy::sink

#endif
