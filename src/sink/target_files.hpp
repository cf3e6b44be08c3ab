// The files of a target: how a job notices that somebody has emptied or rewritten it.
//
// TRUNCATE, VACUUM FULL, CLUSTER and ALTER TABLEs that rewrite give a table a new file. A job writes down
// the files of its target when it starts. It looks for them again when it is resumed, now and then while it
// runs, and before it says that it is done: one that is missing may have taken rows along. Rows that go
// elsewhere because of a new partition are followed there: its file is added in the transaction that stores
// them.
#ifndef FASTCOPY_SINK_TARGET_FILES_HPP
#define FASTCOPY_SINK_TARGET_FILES_HPP

#include "job/markers.hpp"

namespace fastcopy::sink {

// The files of a target and its partitions or children, by what is committed now. Temporary children of
// other sessions, which nobody else can read or write, are left out.
job::TargetFiles read_files(Oid relid);

// Those of `files` that are not among `others`.
job::TargetFiles without(const job::TargetFiles &files, const job::TargetFiles &others);

// The ERROR of a target that has lost rows, as far as can be told: it no longer has all of its files, or the reason
// that is given.
[[noreturn]] void raise_files_lost(const char *target_table);
[[noreturn]] void raise_rows_lost(const char *target_table, const char *reason);

// Whether the catalogs have changed since the last call, as far as this process has heard. False saves a look
// at the files of a thousand partitions.
bool catalogs_have_changed();
// After a transaction that was rolled back: what it has found out is forgotten.
void look_again() noexcept;

}  // namespace fastcopy::sink

#endif
