// Markers: facts by which resuming a job detects whether the part of the source table that was
// copied already has changed.
//
// A resumed job reads under a new snapshot. The result is that of one copy under this snapshot if
// and only if the rows of the done chunks have not changed since the former one. Statistics cannot
// show that reliably: they arrive late, can be disabled, and are lost in a crash. The rows
// themselves can. An INSERT or UPDATE leaves a row version whose xmin is the writing transaction; a
// DELETE, or an UPDATE that moves a row out of the chunk's range, leaves one row less. So a done
// chunk is unchanged if
//
//   - it has as many rows as the source sent then, and
//   - no row's xmin is as new as the former snapshot: at or above its pg_snapshot_xmin.
//
// (Between its xmin and its xmax were transactions in progress, whose subtransactions
// pg_current_snapshot() does not list. Some transactions in that range had committed, so the rule
// may report a change where there was none, never the reverse.) The source counts, chunk by chunk,
// under the condition that the chunk was copied by; that scans what is done, without its
// TOAST and without sending it. Rows that are not copied yet may change: they are read
// as they are now.
//
// Transaction ids can only be compared within one history, and block ranges only within one
// file. So these must be equal too:
//
//   server      system identifier, database and timeline: a failover or a point-in-time recovery
//               may have lost transactions, whose ids are then assigned again
//   position    the position in the WAL that was reached by then: a standby may be behind it
//   relations   the table, its partitions or children, and their files: TRUNCATE, VACUUM FULL,
//               CLUSTER and rewriting ALTER TABLEs create new ones
//   columns     names and types
//
// A crash of the source loses the latest transactions that were committed with synchronous_commit
// off, which a snapshot may have seen; so the snapshot is a marker only once the WAL up to
// it is on disk.
//
// A standby knows its timeline only as of its last restart point, so there a failover of its
// primary in the minutes between may not be detected: all other checks hold. Objects other than the
// table (the labels of an enum, for example) are not checked. Foreign tables and tables of access
// methods other than heap have no such xmin: their changes cannot be detected, and a resume says
// so.
#ifndef FASTCOPY_PLAN_MARKERS_HPP
#define FASTCOPY_PLAN_MARKERS_HPP

#include "job/markers.hpp"
#include "plan/chunk.hpp"
#include "plan/source_table.hpp"
#include "source/connection.hpp"

namespace fastcopy::plan {

// The position up to which the source's WAL is written, or replayed, as pg_lsn; read before the
// snapshot is taken.
const char *read_position(source::Connection *connection);

// A snapshot that is not a marker yet: a crash of the source may still lose what it has seen.
struct MarkerWait {
    const char *snapshot;  // nullptr: there is nothing to wait for
    uint64 position;       // of the WAL that has to be on disk
    TimestampTz since;
};

// The markers of the connection's snapshot, without the snapshot itself if its WAL is not on disk
// yet. `position` is from read_position: nullptr if the role may not call the functions.
job::SourceMarkers read_markers(source::Connection *connection, const char *position,
                                MarkerWait *wait);

// The markers of one of the source's tables.
job::TableMarkers markers_of(const SourceColumns &columns, const Leaves &leaves);

// Whether the snapshot is a marker by now; `never` after an implausibly long wait.
enum class Durable { yes, not_yet, never };
Durable is_durable(source::Connection *connection, const MarkerWait &wait);
Durable wait_until_durable(source::Connection *connection, const MarkerWait &wait);

// The difference between the markers of a former snapshot and the current ones, as a sentence;
// nullptr if there is none. That of the server and its transaction ids; `position` was read before
// the current snapshot was taken:
const char *history_difference(const job::SourceMarkers &then, const job::SourceMarkers &now,
                               const char *position);
// and that of a table.
const char *table_difference(const job::TableMarkers &then, const job::TableMarkers &now);

// The ERROR of a source table that has changed; `what` is the detail.
[[noreturn]] void raise_changed(const char *source_table, const char *what);

// True if no transaction at all has been in progress or begun since the former snapshot.
bool nothing_has_run(const job::SourceMarkers &then, const job::SourceMarkers &now);

// Whether a quarter of all transaction ids has been assigned between two snapshots.
bool are_far_apart(const char *then, const char *now);

// Whether 32 bits cannot distinguish all transactions before the snapshot.
bool ids_have_wrapped(const char *snapshot);

// Whether ids at or above the xmax of a snapshot, just taken, have been given out: their
// transactions are in progress, though the snapshot does not list them.
bool ids_are_taken(source::Connection *connection, const char *snapshot);

// Whether transactions were in progress in the snapshot.
bool had_open_transactions(const char *snapshot);

// The condition that a row's xmin is one of the ids that have been assigned from the snapshot's
// xmin, or xmax, on: of a transaction that the snapshot may not, or cannot, have seen. It may hold
// for a frozen row that is older than all ids that exist.
enum class Since { xmin, xmax };
char *newer_condition(const char *snapshot, Since since);

// Whether the xmin of the relation's rows shows changes. `only`: as in Chunk.
bool is_checkable(const char *relation, bool only, const Leaves &leaves);

// The query that counts a chunk's rows: all, and those as new as the former snapshot.
char *count_statement(const Chunk &chunk, const RowShape &shape, const char *snapshot);

}  // namespace fastcopy::plan

#endif
