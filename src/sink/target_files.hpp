// The files of a target: how a job detects that the target was truncated or rewritten.
//
// TRUNCATE, VACUUM FULL, CLUSTER and ALTER TABLEs that rewrite give a table a new file. A job
// records the files of its target when it starts. It compares them when it is resumed, from time to
// time while it runs, and before it is done: a file that is missing may have taken rows with it. If
// rows go into a new partition, the transaction that stores them adds the partition's file.
#ifndef FASTCOPY_SINK_TARGET_FILES_HPP
#define FASTCOPY_SINK_TARGET_FILES_HPP

#include "job/markers.hpp"

namespace fastcopy::sink {

// The files of a target and its partitions or children, as committed now; without temporary
// children of other sessions.
job::TargetFiles read_files(Oid relid);

// Those of `files` that are not among `others`.
job::TargetFiles without(const job::TargetFiles &files, const job::TargetFiles &others);

// The ERROR of a target that may have lost rows: it no longer has all of its files, or has another
// reason.
[[noreturn]] void raise_files_lost(const char *target_table);
[[noreturn]] void raise_rows_lost(const char *target_table, const char *reason);

// Whether this process has received invalidations of relations since the last call. If not, the
// files need not be compared.
bool catalogs_have_changed();
// After a rollback: has the next call of catalogs_have_changed() return true.
void look_again() noexcept;

}  // namespace fastcopy::sink

#endif
