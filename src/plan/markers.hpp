// Markers: what tells, when a job is resumed, whether the part of the source table that was copied already
// is still as it was.
//
// A resumed job reads by a new snapshot. That is the same as one copy by that snapshot if, and only if,
// the rows of the chunks that are done have not changed since the former one. Statistics cannot tell that
// for certain: they arrive late, can be switched off, and are lost in a crash. The rows themselves can. An
// INSERT or UPDATE leaves a row version whose xmin is the writing transaction; a DELETE, and an UPDATE that
// moves a row out of the chunk's range, leaves one row less. So a chunk that is done is unchanged if
//
//   - it has as many rows as the source sent then, and
//   - no row's xmin is as new as the former snapshot: at or above its pg_snapshot_xmin.
//
// (Between its xmin and its xmax were transactions in progress, whose subtransactions pg_current_snapshot()
// does not name. Some of the transactions there had committed, so the rule may find a change where there was
// none, never the reverse.) The source counts, chunk by chunk, each chunk by the condition that it was
// copied by; that takes a scan of what is done, without its TOAST and without sending it. Rows that are not
// copied yet may change as they like: they are read as they are now.
//
// Transaction ids only compare on the history that they came from, and block ranges only within the same
// file. So these must be the same as well:
//
//   server      system identifier, database and timeline: a fail-over or a recovery to a point in time may
//               have lost transactions, and then their ids are given out again
//   position    the place in the WAL that was reached by then: a standby may lag behind it
//   relations   the table, its partitions or children, and the files they are in: TRUNCATE, VACUUM FULL,
//               CLUSTER and rewriting ALTER TABLEs make new ones
//   columns     names and types
//
// A crash of the source loses transactions that were committed with synchronous_commit off in the last
// moments, which a snapshot may have seen; so the snapshot is a marker only once the WAL up to it is on disk.
//
// A standby knows its timeline only from its last restart point, so there a fail-over of its primary in the
// minutes between may go unnoticed: all else holds. What lies outside of the table (the labels of an enum,
// say) is not looked at. Foreign tables and tables of other access methods than
// heap have no xmin to tell; nothing is promised of them, and a resume says so.
#ifndef FASTCOPY_PLAN_MARKERS_HPP
#define FASTCOPY_PLAN_MARKERS_HPP

#include "job/markers.hpp"
#include "plan/chunk.hpp"
#include "plan/source_table.hpp"
#include "source/connection.hpp"

namespace fastcopy::plan {

// The position up to which the source's WAL is written, or replayed, as pg_lsn; read before the snapshot is taken.
const char *read_position(source::Connection *connection);

// A snapshot that is not a marker yet: a crash of the source may still lose what it has seen.
struct MarkerWait {
    const char *snapshot;  // nullptr: there is nothing to wait for
    uint64 position;       // of the WAL that has to be on disk
    TimestampTz since;
};

// The markers of the connection's snapshot, without the snapshot itself if its WAL is not on disk yet. `position` is
// from read_position: nullptr if the role may not call the functions.
job::SourceMarkers read_markers(source::Connection *connection, const SourceColumns &columns,
                                const Leaves &leaves, const char *position, MarkerWait *wait);

// Whether the snapshot is a marker by now; `never` after an implausibly long wait.
enum class Durable { yes, not_yet, never };
Durable is_durable(source::Connection *connection, const MarkerWait &wait);
Durable wait_until_durable(source::Connection *connection, const MarkerWait &wait);

// The difference between the markers of a former snapshot and the current ones, as a sentence; nullptr if
// there is none. `position` was read before the current snapshot was taken.
const char *difference(const job::SourceMarkers &then, const job::SourceMarkers &now,
                       const char *position);

// The ERROR of a source table that has changed; `what` is the detail.
[[noreturn]] void raise_changed(const char *source_table, const char *what);

// True if no transaction at all has been in progress or begun since the former snapshot.
bool nothing_has_run(const job::SourceMarkers &then, const job::SourceMarkers &now);

// Whether the xmin of the relation's rows shows changes. `only`: as in Chunk.
bool is_checkable(const char *relation, bool only, const Leaves &leaves);

// The query that counts a chunk's rows: all, and those as new as the former snapshot.
char *count_statement(const Chunk &chunk, const RowShape &shape, const char *snapshot);

}  // namespace fastcopy::plan

#endif
