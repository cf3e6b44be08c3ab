// fastcopy.check: this server, its disks, limits and settings, and the targets that exist.
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "pg/arrays.hpp"
#include "plan/answers.hpp"
#include "run/check_steps.hpp"
#include "run/local_query.hpp"

namespace fastcopy::run::check {

using source::Rows;

namespace {

const char *pretty(int64 bytes) {
    return text_to_cstring(
        DatumGetTextPP(DirectFunctionCall1(pg_size_pretty, Int64GetDatum(bytes))));
}

// A file system that rows go to.
struct Disk {
    dev_t device;
    const char *tablespace;  // one that is on it
    int64 needed;
    int64 free;
};

struct Disks {
    int count;
    Disk *disks;
};

// Adds what goes to a tablespace; without a file system that can be asked, nothing.
void add_bytes(Disks *disks, Oid tablespace, int64 bytes) {
    const char *path =
        tablespace == DEFAULTTABLESPACE_OID ? "base" : psprintf("pg_tblspc/%u", tablespace);
    struct stat place;
    struct statvfs space;
    if (stat(path, &place) != 0 || statvfs(path, &space) != 0)
        return;
    for (int i = 0; i < disks->count; i++) {
        if (disks->disks[i].device == place.st_dev) {
            disks->disks[i].needed += bytes;
            return;
        }
    }
    constexpr int step = 16;
    if (disks->count % step == 0) {
        Size size = sizeof(Disk) * static_cast<Size>(disks->count + step);
        disks->disks = static_cast<Disk *>(disks->disks == nullptr ? palloc(size)
                                                                   : repalloc(disks->disks, size));
    }
    disks->disks[disks->count++] =
        Disk{place.st_dev, get_tablespace_name(tablespace), bytes,
             static_cast<int64>(space.f_bavail) * static_cast<int64>(space.f_frsize)};
}

// Where rows of a table go: to the target's tablespace, or if it is created, to that of the source's
// name.
Oid tablespace_of(const Check &check, int n, const char *name) {
    Oid tablespace = check.request.create && name != nullptr ? get_tablespace_oid(name, true)
                     : !check.request.create && OidIsValid(check.request.tables[n].target)
                         ? get_rel_tablespace(check.request.tables[n].target)
                         : InvalidOid;
    return OidIsValid(tablespace) ? tablespace : MyDatabaseTableSpace;
}

int64 setting(const char *name) {
    const char *value = GetConfigOption(name, true, false);
    return value != nullptr ? strtol(value, nullptr, 10) : 0;
}

bool is_set(const char *name) {
    const char *value = GetConfigOption(name, true, false);
    return value != nullptr && value[0] != '\0';
}

void check_locks(Check *check) {
    // Of each relation its name, its TOAST table and that one's index, on average.
    constexpr int64 locks_per_relation = 3;
    int64 most =
        setting("max_locks_per_transaction") * (MaxBackends + setting("max_prepared_transactions"));
    int64 needed = locks_per_relation * check->relations;
    if (!check->request.create || 2 * needed <= most)
        return;
    check->add(needed > most ? Severity::error : Severity::warning, "max_locks_per_transaction",
               psprintf(_("definitions are created in one transaction, with about " INT64_FORMAT
                          " locks, and this server has room for " INT64_FORMAT),
                        needed, most),
               _("Raise max_locks_per_transaction, which needs a restart, or clone some tables at "
                 "a time."));
}

}  // namespace

void check_sizes(Check *check, int) {
    const char *oids = check->oids();
    Rows rows = source::query(
        check->connection,
        WITH_RELATIONS
        " SELECT r.n, s.spcname,"
        " coalesce(pg_catalog.sum(pg_catalog.pg_total_relation_size(c.oid)), 0)::pg_catalog.int8"
        " FROM r JOIN pg_catalog.pg_class c ON c.oid = r.oid"
        " LEFT JOIN pg_catalog.pg_tablespace s ON s.oid = c.reltablespace"
        " WHERE c.relkind = 'r' GROUP BY 1, 2",
        1, &oids);
    constexpr int64 most = INT64CONST(1) << 60;
    Disks disks{};
    for (int i = 0; i < rows.count; i++) {
        auto n = static_cast<int>(rows.number_at(i, 0, 1, check->request.ntables)) - 1;
        int64 bytes = rows.number_at(i, 2, 0, most / rows.count);
        check->bytes += bytes;
        add_bytes(&disks, tablespace_of(*check, n, rows.at_or_null(i, 1)), bytes);
    }
    for (int i = 0; i < disks.count; i++) {
        const Disk &disk = disks.disks[i];
        if (disk.needed <= disk.free / 5 * 4)
            continue;
        bool fails = disk.needed > disk.free && check->request.filter_count == 0;
        check->add(fails ? Severity::error : Severity::warning,
                   psprintf("tablespace %s", quote_identifier(disk.tablespace)),
                   psprintf(_("the tables have %s on the source, and %s are free here"),
                            pretty(disk.needed), pretty(disk.free)),
                   _("Make room on the file system; WAL needs some more."));
    }
}

void check_target_limits(Check *check, int) {
    int workers = check->request.workers;
    // Of processes that the caller may not look at, the kind is not shown.
    Rows rows = query_here(
        "SELECT pg_catalog.count(*) FROM pg_catalog.pg_stat_activity a"
        " WHERE a.backend_type NOT IN ('client backend', 'autovacuum launcher', 'autovacuum "
        "worker',"
        " 'checkpointer', 'background writer', 'walwriter', 'walsender', 'walreceiver',"
        " 'walsummarizer', 'slotsync worker', 'io worker', 'archiver', 'startup', 'logger')");
    int64 free = max_worker_processes - rows.number_at(0, 0, 0, PG_INT32_MAX);
    if (free < workers + 1)
        check->add(free < 2 ? Severity::error : Severity::warning, "max_worker_processes",
                   psprintf(_(INT64_FORMAT " background worker slots are free, and %d are wanted"),
                            Max(free, 0), workers + 1),
                   _("Use fewer workers, raise max_worker_processes, which needs a restart, or "
                     "wait for other jobs."));
    check_locks(check);
}

void check_wal(Check *check, int) {
    constexpr int64 megabyte = 1 << 20;
    bool large = check->bytes > max_wal_size_mb * megabyte;
    if (large)
        check->add(Severity::info, "max_wal_size",
                   psprintf(_("the load of %s makes checkpoints frequent: max_wal_size is %s"),
                            pretty(check->bytes), pretty(max_wal_size_mb * megabyte)),
                   _("Raise max_wal_size and checkpoint_timeout for the time of the load, which "
                     "needs a reload."));
    bool archives = XLogArchivingActive();
    if (archives && large)
        check->add(Severity::info, "archive_mode",
                   psprintf(_("the WAL of the load, of %s and its indexes, is archived"),
                            pretty(check->bytes)),
                   _("See that the archive has room, and can keep up."));
    if (is_set("synchronous_standby_names"))
        check->add(Severity::info, "synchronous_standby_names",
                   _("the job waits for synchronous standbys"),
                   _("Without them for the time of the load, it does not depend on them."));
    Rows slots = query_here(
        "SELECT s.slot_name FROM pg_catalog.pg_replication_slots s"
        " WHERE NOT s.active AND s.restart_lsn IS NOT NULL ORDER BY 1");
    for (int i = 0; i < slots.count; i++)
        check->add(
            Severity::warning, psprintf("replication slot %s", slots.at(i, 0)),
            psprintf(_("replication slot \"%s\" is not in use, and keeps the WAL of the load"),
                     slots.at(i, 0)),
            _("Drop the slot, or limit what it keeps with max_slot_wal_keep_size."));
    Rows all = query_here(
        "SELECT p.pubname FROM pg_catalog.pg_publication p"
        " WHERE p.puballtables AND p.pubinsert ORDER BY 1");
    for (int i = 0; i < all.count; i++)
        check->add(Severity::warning, psprintf("publication %s", quote_identifier(all.at(i, 0))),
                   psprintf(_("publication \"%s\" is for all tables: its subscribers get the rows, "
                              "too"),
                            all.at(i, 0)),
                   _("Drop it for the time of the load, if they are not meant to."));
    Rows senders = query_here("SELECT FROM pg_catalog.pg_stat_replication LIMIT 1");
    if (large && XLogIsNeeded() && !archives && slots.count == 0 && senders.count == 0)
        check->add(Severity::info, "wal_level", _("index builds are written to the WAL"),
                   _("If no standby, archive or base backup needs that for the time of the load, "
                     "set wal_level to minimal and max_wal_senders to 0, which needs a restart."));
}

void check_targets(Check *check, int) {
    const job::Request &request = check->request;
    auto *targets = static_cast<Oid *>(palloc(sizeof(Oid) * Max(request.ntables, 1)));
    for (int i = 0; i < request.ntables; i++)
        targets[i] = request.tables[i].target;
    const char *oids = OidOutputFunctionCall(F_ARRAY_OUT, pg::oid_array(targets, request.ntables));
    Rows triggers =
        query_here(psprintf(WITH_RELATIONS " SELECT DISTINCT r.n, g.tgname FROM r"
                                           " JOIN pg_catalog.pg_trigger g ON g.tgrelid = r.oid"
                                           " WHERE NOT g.tgisinternal AND g.tgtype & 4 <> 0"
                                           " AND g.tgenabled IN ('A', '%c') ORDER BY 1, 2",
                            request.triggers ? 'O' : 'R'),
                   {&oids, 1});
    for (int i = 0; i < triggers.count; i++) {
        auto n = static_cast<int>(triggers.number_at(i, 0, 1, request.ntables)) - 1;
        check->add(Severity::warning, request.tables[n].target_table,
                   psprintf(_("trigger \"%s\" fires for the rows"), triggers.at(i, 1)),
                   request.triggers ? _("To leave triggers out, use triggers => false.")
                                    : _("It is enabled in sessions of replication, too."));
    }
    Rows published =
        query_here(WITH_RELATIONS
                   " SELECT p.pubname, pg_catalog.count(DISTINCT r.n) FROM r JOIN ("
                   "SELECT l.prpubid, l.prrelid FROM pg_catalog.pg_publication_rel l"
#if PG_VERSION_NUM >= 150000
                   " UNION SELECT s.pnpubid, c.oid FROM pg_catalog.pg_publication_namespace s"
                   " JOIN pg_catalog.pg_class c ON c.relnamespace = s.pnnspid"
#endif
                   ") l(publication, relation) ON l.relation = r.oid"
                   " JOIN pg_catalog.pg_publication p ON p.oid = l.publication AND p.pubinsert"
                   " GROUP BY 1 ORDER BY 1",
                   {&oids, 1});
    for (int i = 0; i < published.count; i++)
        check->add(Severity::warning,
                   psprintf("publication %s", quote_identifier(published.at(i, 0))),
                   psprintf(_("publication \"%s\" has %s of the tables: its subscribers get their "
                              "rows, too"),
                            published.at(i, 0), published.at(i, 1)),
                   _("Take them out for the time of the load, if they are not meant to."));
}

}  // namespace fastcopy::run::check
