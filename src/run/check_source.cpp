// fastcopy.check: the source as a server, and its tables by their kinds.
#include "plan/answers.hpp"
#include "run/check_steps.hpp"
#include "run/definitions.hpp"
#include "run/local_query.hpp"

namespace fastcopy::run::check {

using source::Rows;

namespace {

// The database's encoding and locale.
const char *locale_sql(int version) {
    const char *more =
        version >= 170000 ? ", ' ', b.datlocprovider, ' ', b.datlocale, ' rules ' || b.daticurules"
        : version >= 160000
            ? ", ' ', b.datlocprovider, ' ', b.daticulocale, ' rules ' || b.daticurules"
        : version >= 150000 ? ", ' ', b.datlocprovider, ' ', b.daticulocale"
                            : ", ' c '";
    return psprintf(
        "SELECT pg_catalog.pg_encoding_to_char(b.encoding),"
        " pg_catalog.concat(b.datcollate, ' ', b.datctype%s)"
        " FROM pg_catalog.pg_database b"
        " WHERE b.datname = pg_catalog.current_database()",
        more);
}

}  // namespace

void check_versions(Check *check, int) {
    constexpr int oldest = 100000;
    int version = source::server_version(check->connection);
    if (version < oldest)
        ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                        errmsg("the source is of version %d.%d, which is too old", version / 10000,
                               version / 100 % 100),
                        errhint("Copy from PostgreSQL 10 or later.")));
    // On a connection to this database itself, the process with the source's number is ours.
    const char *pid = psprintf("%d", source::backend_pid(check->connection));
    Rows same = query_here(
        "SELECT FROM pg_catalog.pg_stat_get_activity($1::pg_catalog.int4) a"
        " JOIN pg_catalog.pg_database b ON b.oid = a.datid"
        " WHERE b.datname = pg_catalog.current_database()"
        " AND a.application_name = 'fastcopy check'",
        {&pid, 1});
    if (same.count > 0)
        check->add(Severity::error, on_source, _("the source is this database itself"));
}

void check_source_of_definitions(Check *check, int) {
    refuse_source(check->connection);
}

void check_source_limits(Check *check, int) {
    // The job's own session has taken a slot for this query, too.
    Rows rows = source::query(
        check->connection,
        "SELECT s.most - s.reserved - a.used + 1, CASE WHEN r.rolsuper OR r.rolconnlimit < 0 THEN "
        "-1 ELSE"
        " greatest(r.rolconnlimit - a.by_role + 1, 0) END,"
        " CASE WHEN r.rolsuper OR b.datconnlimit < 0 THEN -1 ELSE"
        " greatest(b.datconnlimit - a.by_database + 1, 0) END, s.locks * (s.most + s.others),"
        " s.per_transaction FROM (SELECT pg_catalog.current_setting('max_connections')::int8 AS "
        "most,"
        " CASE WHEN pg_catalog.current_setting('is_superuser') = 'on' THEN 0 ELSE"
        " pg_catalog.current_setting('superuser_reserved_connections')::int8 +"
        " coalesce(pg_catalog.current_setting('reserved_connections', true)::int8, 0) END"
        " AS reserved, pg_catalog.current_setting('max_locks_per_transaction')::int8 AS locks,"
        " pg_catalog.current_setting('max_locks_per_transaction') AS per_transaction,"
        " pg_catalog.current_setting('autovacuum_max_workers')::int8 + 1 +"
        " pg_catalog.current_setting('max_worker_processes')::int8 +"
        " pg_catalog.current_setting('max_prepared_transactions')::int8 AS others) s,"
        " (SELECT (SELECT coalesce(pg_catalog.sum(d.numbackends), 1)::int8"
        " FROM pg_catalog.pg_stat_database d) AS used,"
        " pg_catalog.count(*) FILTER (WHERE a.usename = current_user) AS by_role,"
        " pg_catalog.count(*) FILTER (WHERE a.datname = pg_catalog.current_database())"
        " AS by_database FROM pg_catalog.pg_stat_activity a) a, pg_catalog.pg_roles r,"
        " pg_catalog.pg_database b WHERE r.rolname = current_user"
        " AND b.datname = pg_catalog.current_database()");
    int64 wanted = check->request.workers + (check->request.create ? 2 : 1);
    struct Limit {
        const char *what;
        const char *hint;
    };
    const Limit limits[] = {
        {_("the source"), _("Use fewer workers, or raise max_connections of the source.")},
        {_("the role on the source"),
         _("Use fewer workers, or raise the role's CONNECTION LIMIT.")},
        {_("the source's database"),
         _("Use fewer workers, or raise the database's CONNECTION LIMIT.")}};
    for (int i = 0; i < 3; i++) {
        int64 free = rows.number_at(0, i, PG_INT64_MIN, PG_INT64_MAX);
        if (i > 0 && free < 0)
            continue;
        if (free < wanted)
            check->add(free < 2 ? Severity::error : Severity::warning, on_source,
                       psprintf(_("%s has " INT64_FORMAT " free connections, and " INT64_FORMAT
                                  " are wanted"),
                                limits[i].what, Max(free, 0), wanted),
                       limits[i].hint);
    }
    const char *oids = check->oids();
    Rows counted = source::query(
        check->connection,
        WITH_RELATIONS
        " SELECT pg_catalog.count(DISTINCT r.oid), (SELECT pg_catalog.count(DISTINCT d.objid)"
        " FROM pg_catalog.pg_depend d JOIN r ON r.oid = d.refobjid"
        " JOIN pg_catalog.pg_class q ON q.oid = d.objid AND q.relkind = 'S'"
        " WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass"
        " AND d.deptype IN ('a', 'i')) FROM r",
        1, &oids);
    int64 tables = counted.number_at(0, 0, 0, PG_INT32_MAX);
    check->relations = tables + counted.number_at(0, 1, 0, PG_INT32_MAX);
    int64 locks = check->request.create ? 2 * tables : tables;
    int64 most = rows.number_at(0, 3, 0, PG_INT64_MAX);
    if (locks > most)
        check->add(
            Severity::error, on_source,
            psprintf(_("max_locks_per_transaction = %s of the source allows for " INT64_FORMAT
                       " locks, and " INT64_FORMAT " tables and partitions are to be locked"),
                     rows.at(0, 4), most, tables),
            _("Raise max_locks_per_transaction of the source, or clone some tables at a "
              "time."));
}

void check_table_kinds(Check *check, int) {
    const char *oids = check->oids();
    Rows rows =
        source::query(check->connection,
                      WITH_RELATIONS
                      " SELECT r.n, pg_catalog.bool_or(r.oid = c.oid AND c.relpersistence = 'u'),"
                      " pg_catalog.bool_or(c.relkind = 'f'), pg_catalog.bool_or(c.relrowsecurity),"
                      " pg_catalog.bool_or(EXISTS (SELECT FROM pg_catalog.pg_index i"
                      " WHERE i.indrelid = c.oid AND i.indisprimary)) FROM r"
                      " JOIN pg_catalog.pg_class c ON c.oid = r.oid GROUP BY 1 ORDER BY 1",
                      1, &oids);
    for (int i = 0; i < rows.count; i++) {
        auto n = static_cast<int>(rows.number_at(i, 0, 1, check->request.ntables)) - 1;
        const char *name = check->request.tables[n].target_table;
        if (plan::to_bool(rows.at(i, 1)))
            check->add(Severity::info, name, _("the source table is unlogged"),
                       _("Its rows are lost in a crash of the source, and a standby does not have "
                         "them."));
        if (plan::to_bool(rows.at(i, 2)))
            check->add(Severity::warning, name,
                       _("partitions of the source table are foreign tables"),
                       _("Their rows are read from other servers, outside of the snapshot."));
        if (plan::to_bool(rows.at(i, 3)))
            check->add(Severity::info, name, _("the source table has row security"),
                       check->request.create
                           ? _("All rows are copied, and its policies are created.")
                           : _("All rows are copied; policies are not."));
        if (!plan::to_bool(rows.at(i, 4)))
            check->add(Severity::info, name, _("the source table has no primary key"));
    }
}

void check_foreign_tables(Check *check, int) {
    Names names = list_foreign_tables(check->connection, check->request);
    for (int i = 0; i < names.count; i++)
        check->add(Severity::info, names.names[i], _("rows of foreign tables are not copied"),
                   _("Copy them with fastcopy.copy, or read them from their server here, too."));
}

void check_encodings(Check *check, int) {
    int version = source::server_version(check->connection);
    Rows theirs = source::query(check->connection, locale_sql(version));
    Rows ours = query_here(locale_sql(PG_VERSION_NUM));
    const char *encoding = theirs.at(0, 0);
    const char *here = ours.at(0, 0);
    if (strcmp(encoding, here) != 0) {
        if (strcmp(encoding, "SQL_ASCII") == 0 && check->request.source_encoding == nullptr)
            check->add(Severity::warning, on_source,
                       psprintf(_("the source's encoding is SQL_ASCII: its bytes must be valid as "
                                  "%s"),
                                here),
                       _("Say what they are with the argument \"source_encoding\"."));
        else
            check->add(strcmp(here, "UTF8") == 0 ? Severity::info : Severity::warning, on_source,
                       psprintf(_("texts are converted from encoding %s to %s"), encoding, here),
                       strcmp(here, "UTF8") == 0
                           ? nullptr
                           : _("A character that this encoding does not have fails the job."));
    }
    if (strcmp(theirs.at(0, 1), ours.at(0, 1)) != 0)
        check->add(
            Severity::warning, on_source,
            psprintf(_("the default collation of the source's database is \"%s\", here it is "
                       "\"%s\""),
                     theirs.at(0, 1), ours.at(0, 1)),
            _("Texts sort differently. To have them sort alike, create the database with the "
              "source's LOCALE."));
}

}  // namespace fastcopy::run::check
