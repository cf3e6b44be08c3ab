#include "plan/markers.hpp"

#include "core/answer_text.hpp"
#include "pg/wait.hpp"
#include "plan/answers.hpp"

namespace fastcopy::plan {

using source::Connection;
using source::Rows;

namespace {

// How far the WAL is written, or replayed.
#define POSITION_SQL                                                                    \
    "CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn()" \
    " ELSE pg_catalog.pg_current_wal_insert_lsn() END"

// The least transaction id that is neither special nor reserved.
constexpr uint32 first_normal_xid = 3;

core::SnapshotBounds to_bounds(const char *snapshot) {
    auto bounds = core::parse_snapshot(snapshot);
    if (!bounds)
        source::raise_odd_answer("The source returned an invalid snapshot.");
    return *bounds;
}

uint64 to_lsn(const char *position) {
    auto lsn = core::parse_lsn(position);
    if (!lsn)
        source::raise_odd_answer("The source returned an invalid WAL position.");
    return *lsn;
}

// Whether the role may execute the functions: an error would abort the transaction.
bool may_ask(Connection *connection) {
    Rows rows = source::query(
        connection,
        "SELECT pg_catalog.bool_and(pg_catalog.has_function_privilege(f::pg_catalog.regprocedure,"
        " 'EXECUTE')) FROM pg_catalog.unnest(ARRAY['pg_catalog.pg_control_system()',"
        " 'pg_catalog.pg_control_checkpoint()', 'pg_catalog.pg_current_wal_lsn()',"
        " 'pg_catalog.pg_current_wal_insert_lsn()', 'pg_catalog.pg_current_wal_flush_lsn()',"
        " 'pg_catalog.pg_last_wal_replay_lsn()',"
        " 'pg_catalog.pg_walfile_name(pg_catalog.pg_lsn)']) f");
    return rows.at(0, 0)[0] == 't';
}

// Whether the WAL is on disk up to the position. At the beginning of a page, the position lies
// behind the page's header, which is written with the next record.
bool is_flushed(uint64 position, uint64 flushed) {
    constexpr uint64 page = 8192;
    constexpr uint64 longest_page_header = 40;
    uint64 in_page = position % page;
    return flushed >= position || (in_page <= longest_page_header && flushed >= position - in_page);
}

char *hash(const StringInfoData &facts) {
    Datum bytes = PointerGetDatum(cstring_to_text_with_len(facts.data, facts.len));
    return TextDatumGetCString(DirectFunctionCall1(md5_text, bytes));
}

char *hash_of_relations(const Leaves &leaves) {
    StringInfoData text;
    initStringInfo(&text);
    for (int i = 0; i < leaves.count; i++)
        appendStringInfo(&text, "%u %c %u;", leaves.leaves[i].oid, leaves.leaves[i].relkind,
                         leaves.leaves[i].filenode);
    return hash(text);
}

char *hash_of_columns(const SourceColumns &columns) {
    StringInfoData text;
    initStringInfo(&text);
    for (int i = 0; i < columns.count; i++) {
        const SourceColumn &column = columns.columns[i];
        appendStringInfo(&text, "%s %u %d;", quote_always(column.name), column.type,
                         column.generated);
    }
    return hash(text);
}

bool same(const char *a, const char *b) {
    return a != nullptr && b != nullptr && strcmp(a, b) == 0;
}

}  // namespace

const char *read_position(Connection *connection) {
    if (!may_ask(connection))
        return nullptr;
    return source::query(connection, "SELECT " POSITION_SQL).at_or_null(0, 0);
}

job::TableMarkers markers_of(const SourceColumns &columns, const Leaves &leaves) {
    return job::TableMarkers{hash_of_relations(leaves), hash_of_columns(columns)};
}

job::SourceMarkers read_markers(Connection *connection, const char *position, MarkerWait *wait) {
    job::SourceMarkers markers{};
    *wait = MarkerWait{};
    if (position == nullptr)
        return markers;

    // The name of a WAL file begins with its timeline.
    Rows rows = source::query(
        connection,
        psprintf("SELECT s.system_identifier || ' ' || d.oid || ' '"
                 " || CASE WHEN pg_catalog.pg_is_in_recovery()"
                 " THEN pg_catalog.lpad(pg_catalog.upper(pg_catalog.to_hex(c.timeline_id)), 8, '0')"
                 " ELSE pg_catalog.left(pg_catalog.pg_walfile_name("
                 "pg_catalog.pg_current_wal_lsn()), 8) END,"
                 " %s::pg_catalog.text, pg_catalog.pg_is_in_recovery(), " POSITION_SQL
                 " FROM pg_catalog.pg_control_system() s, pg_catalog.pg_control_checkpoint() c,"
                 " pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database()",
                 source::server_version(connection) >= 130000
                     ? "pg_catalog.pg_current_snapshot()"
                     : "pg_catalog.txid_current_snapshot()"));
    markers.server = rows.at(0, 0);
    markers.position = rows.at(0, 3);
    const char *snapshot = rows.at(0, 1);
    (void)to_bounds(snapshot);
    // A standby has replayed it from its own disk.
    bool durable = rows.at(0, 2)[0] == 't';
    if (!durable) {
        *wait = MarkerWait{snapshot, to_lsn(markers.position), GetCurrentTimestamp()};
        durable = is_durable(connection, *wait) == Durable::yes;
    }
    if (durable) {
        wait->snapshot = nullptr;
        markers.snapshot = snapshot;
    }
    return markers;
}

Durable is_durable(Connection *connection, const MarkerWait &wait) {
    constexpr int longest_wait_ms = 3000;
    // Asynchronous commits are flushed within three times wal_writer_delay; other WAL may stay in
    // memory longer.
    Rows rows = source::query(
        connection,
        "SELECT pg_catalog.pg_current_wal_flush_lsn(), (3000::pg_catalog.float8 "
        "OPERATOR(pg_catalog.*) pg_catalog.date_part('epoch',"
        " pg_catalog.current_setting('wal_writer_delay')::pg_catalog.interval))::pg_catalog.int4");
    if (is_flushed(wait.position, to_lsn(rows.at(0, 0))))
        return Durable::yes;
    long waited = TimestampDifferenceMilliseconds(wait.since, GetCurrentTimestamp());
    if (waited > rows.number_at(0, 1, 0, PG_INT32_MAX))
        return Durable::yes;
    return waited > longest_wait_ms ? Durable::never : Durable::not_yet;
}

Durable wait_until_durable(Connection *connection, const MarkerWait &wait) {
    constexpr int look_every_ms = 20;
    for (;;) {
        Durable durable = is_durable(connection, wait);
        if (durable != Durable::not_yet)
            return durable;
        (void)pg::wait_latch(look_every_ms);
    }
}

const char *history_difference(const job::SourceMarkers &then, const job::SourceMarkers &now,
                               const char *position) {
    if (then.snapshot == nullptr || now.snapshot == nullptr)
        return "The source did not report, then or now, what changes are detected by.";
    if (!same(then.server, now.server))
        return "The source is another server or database, or its timeline has changed: "
               "a failover or a recovery may have lost transactions.";
    if (position == nullptr || to_lsn(position) < to_lsn(then.position))
        return "The source is behind the state that was copied, like a lagging standby.";
    core::SnapshotBounds before = to_bounds(then.snapshot);
    core::SnapshotBounds after = to_bounds(now.snapshot);
    // A row's xmin has no epoch: half of the numbers are in the past.
    constexpr uint64 most_apart = UINT64CONST(1) << 31;
    if (after.xmax < before.xmax || after.xmax - before.xmin >= most_apart)
        return "Too many transactions have run on the source since then.";
    return nullptr;
}

const char *table_difference(const job::TableMarkers &then, const job::TableMarkers &now) {
    if (!same(then.columns, now.columns))
        return "The columns of the table have changed.";
    if (!same(then.relations, now.relations))
        return "The table has other files, as after TRUNCATE, VACUUM FULL, CLUSTER or some ALTER "
               "TABLEs, or other partitions.";
    return nullptr;
}

void raise_changed(const char *source_table, const char *what) {
    ereport(
        ERROR,
        (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
         errmsg("source table \"%s\" may have changed since a part of it was copied", source_table),
         errdetail_internal("%s", what),
         errhint("Resume with accept_changes => true to copy the rest as it is now, or start "
                 "over with truncate => true.")));
}

bool nothing_has_run(const job::SourceMarkers &then, const job::SourceMarkers &now) {
    core::SnapshotBounds before = to_bounds(then.snapshot);
    return before.xmin == before.xmax && to_bounds(now.snapshot).xmax == before.xmax;
}

bool is_checkable(const char *relation, bool only, const Leaves &leaves) {
    bool all_heaps = true;
    for (int i = 0; i < leaves.count; i++) {
        if (only && strcmp(leaves.leaves[i].name, relation) == 0)
            return leaves.leaves[i].is_heap;
        all_heaps = all_heaps && leaves.leaves[i].is_heap;
    }
    return all_heaps;
}

bool are_far_apart(const char *then, const char *now) {
    return to_bounds(now).xmax - to_bounds(then).xmin >= UINT64CONST(1) << 30;
}

bool ids_have_wrapped(const char *snapshot) {
    return to_bounds(snapshot).xmax >> 32 != 0;
}

bool ids_are_taken(Connection *connection, const char *snapshot) {
    auto xmax = static_cast<uint32>(to_bounds(snapshot).xmax);
    Rows rows = source::query(
        connection, psprintf("SELECT pg_catalog.age('%u'::pg_catalog.xid) OPERATOR(pg_catalog.>) 0",
                             Max(xmax, first_normal_xid)));
    return to_bool(rows.at(0, 0));
}

bool had_open_transactions(const char *snapshot) {
    core::SnapshotBounds bounds = to_bounds(snapshot);
    return bounds.xmin != bounds.xmax;
}

char *newer_condition(const char *snapshot, Since since) {
    core::SnapshotBounds bounds = to_bounds(snapshot);
    auto xid = static_cast<uint32>(since == Since::xmin ? bounds.xmin : bounds.xmax);
    return psprintf(
        "(pg_catalog.age(xmin) OPERATOR(pg_catalog.>=) 0 AND pg_catalog.age(xmin)"
        " OPERATOR(pg_catalog.<=) (SELECT pg_catalog.age('%u'::pg_catalog.xid)))",
        Max(xid, first_normal_xid));
}

char *count_statement(const Chunk &chunk, const RowShape &shape, const char *snapshot) {
    // age() counts back from the next transaction id at the begin of the transaction, and reports
    // special ids as infinitely old. Rows that are older than half of all ids have a negative age.
    return psprintf("SELECT pg_catalog.count(*), pg_catalog.count(*) FILTER (WHERE %s) FROM %s",
                    newer_condition(snapshot, Since::xmin), from_clause(chunk, shape));
}

}  // namespace fastcopy::plan
