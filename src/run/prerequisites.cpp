#include "run/prerequisites.hpp"

#include <clocale>

#include "pg/acl.hpp"
#include "pg/arrays.hpp"
#include "plan/answers.hpp"
#include "run/local_query.hpp"

namespace fastcopy::run {

namespace {

using source::Rows;

// The relations that are created: $1 are the listed tables, t these with their partitions, s the
// sequences of their columns. Temporary and system relations are not created.
constexpr const char *relations_sql =
    "WITH RECURSIVE t(oid) AS (SELECT u.oid FROM pg_catalog.unnest($1::pg_catalog.oid[]) u(oid)"
    " UNION SELECT i.inhrelid FROM t JOIN pg_catalog.pg_inherits i ON i.inhparent = t.oid"
    " JOIN pg_catalog.pg_class p ON p.oid = i.inhrelid AND p.relispartition),"
    " s(oid) AS (SELECT d.objid FROM t JOIN pg_catalog.pg_depend d ON d.refobjid = t.oid"
    " JOIN pg_catalog.pg_class q ON q.oid = d.objid AND q.relkind = 'S'"
    " WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refclassid = d.classid"
    " AND d.deptype IN ('a', 'i')),"
    " c AS (SELECT r.oid, r.relkind, r.relnamespace, r.relowner, r.reltablespace"
    " FROM pg_catalog.pg_class r JOIN pg_catalog.pg_namespace n ON n.oid = r.relnamespace"
    " WHERE r.relpersistence <> 't' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'"
    " AND CASE WHEN %s THEN r.relkind NOT IN ('r', 'p', 'i', 'I') AND NOT %e"
    " OR r.oid IN (SELECT oid FROM t UNION ALL SELECT oid FROM s)"
    " ELSE r.oid IN (SELECT oid FROM t UNION ALL SELECT oid FROM s) END"
    " OR r.oid IN (SELECT i.indexrelid FROM pg_catalog.pg_index i JOIN t ON t.oid = i.indrelid)),"
    " x AS (SELECT d.classid, d.objid FROM pg_catalog.pg_depend d WHERE d.deptype = 'e')";

// The provider of a collation l, and with other providers than the C library their locale. Names of
// the C library's locales are not comparable.
const char *collation_locale(int version) {
    return psprintf(
        "pg_catalog.concat(l.collprovider, CASE WHEN l.collprovider <> 'c' THEN"
        " pg_catalog.concat(' ', %s) END)",
        version >= 170000   ? "l.colllocale, ' rules ' || l.collicurules"
        : version >= 160000 ? "l.colliculocale, ' rules ' || l.collicurules"
        : version >= 150000 ? "l.colliculocale"
                            : "l.collcollate");
}

// Asks about the relations, with what follows their definition above. %s in both says whether the
// whole database is created; %e whether it is with exceptions, which may be views, too; %l is a
// collation's locale.
Rows ask(source::Connection *connection, const Wanted &wanted, const char *rest) {
    const char *oids = OidOutputFunctionCall(
        F_ARRAY_OUT, pg::oid_array(wanted.tables.data(), static_cast<int>(wanted.tables.size())));
    StringInfoData sql;
    initStringInfo(&sql);
    for (const char *part : {relations_sql, rest}) {
        for (const char *at = part; *at != '\0'; at++) {
            if (at[0] == '%' && (at[1] == 's' || at[1] == 'e')) {
                bool value = at[1] == 's' ? wanted.whole : wanted.with_exceptions;
                appendStringInfoString(&sql, value ? "true" : "false");
                at++;
            } else if (at[0] == '%' && at[1] == 'l') {
                appendStringInfoString(&sql, collation_locale(source::server_version(connection)));
                at++;
            } else {
                appendStringInfoChar(&sql, *at);
            }
        }
    }
    return source::query(connection, sql.data, 1, &oids);
}

// Roles, and whether they are needed as owners; for privileges; in any case, as those of policies and
// user mappings. The bootstrap superuser is not in pg_shdepend. Of what extensions have created, neither
// owners nor the privileges that they have granted are dumped.
constexpr const char *roles_sql =
    ", o(role, need) AS (SELECT d.refobjid,"
    " CASE WHEN d.deptype = 'r' OR d.classid = 'pg_catalog.pg_user_mapping'::pg_catalog.regclass"
    " THEN 'a' WHEN d.deptype = 'a'"
    " OR d.classid = 'pg_catalog.pg_default_acl'::pg_catalog.regclass THEN 'p' ELSE 'o' END"
    " FROM pg_catalog.pg_shdepend d JOIN pg_catalog.pg_database b ON b.oid = d.dbid"
    " WHERE b.datname = pg_catalog.current_database() AND d.deptype IN ('o', 'a', 'r')"
    " AND d.refclassid = 'pg_catalog.pg_authid'::pg_catalog.regclass"
    " AND d.classid <> 'pg_catalog.pg_extension'::pg_catalog.regclass"
    " AND CASE WHEN d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass"
    " THEN d.objid IN (SELECT oid FROM c)"
    " WHEN d.classid = 'pg_catalog.pg_policy'::pg_catalog.regclass THEN EXISTS"
    " (SELECT FROM pg_catalog.pg_policy p JOIN c ON c.oid = p.polrelid WHERE p.oid = d.objid)"
    " ELSE %s END AND NOT (d.deptype = 'o'"
    " AND EXISTS (SELECT FROM x WHERE x.classid = d.classid AND x.objid = d.objid))"
    " AND NOT (d.deptype = 'a' AND EXISTS (SELECT FROM pg_catalog.pg_init_privs v,"
    " pg_catalog.aclexplode(v.initprivs) e WHERE v.privtype = 'e' AND v.classoid = d.classid"
    " AND v.objoid = d.objid AND d.refobjid IN (e.grantee, e.grantor)))"
    " UNION ALL SELECT b.owner, 'o' FROM ("
    "SELECT 'pg_catalog.pg_class'::pg_catalog.regclass, c.oid, c.relowner FROM c"
    " WHERE c.relkind NOT IN ('i', 'I', 'c') UNION ALL"
    " SELECT 'pg_catalog.pg_namespace'::pg_catalog.regclass, n.oid, n.nspowner"
    " FROM pg_catalog.pg_namespace n WHERE %s AND (n.oid >= 16384 AND n.nspname !~ '^pg_'"
    " OR n.nspname = 'public') UNION ALL"
    " SELECT 'pg_catalog.pg_proc'::pg_catalog.regclass, p.oid, p.proowner"
    " FROM pg_catalog.pg_proc p WHERE %s AND p.oid >= 16384 UNION ALL"
    " SELECT 'pg_catalog.pg_type'::pg_catalog.regclass, y.oid, y.typowner"
    " FROM pg_catalog.pg_type y WHERE %s AND y.oid >= 16384 AND y.typtype IN ('e', 'd', 'r')"
    ") b(classid, objid, owner) WHERE b.owner = 10"
    " AND NOT EXISTS (SELECT FROM x WHERE x.classid = b.classid AND x.objid = b.objid))"
    " SELECT pg_catalog.pg_get_userbyid(o.role), pg_catalog.bool_or(o.need = 'o'),"
    " pg_catalog.bool_or(o.need = 'p'), pg_catalog.bool_or(o.need = 'a') FROM o"
    " JOIN pg_catalog.pg_roles r ON r.oid = o.role GROUP BY 1 ORDER BY 1";

void find_roles(source::Connection *connection, const Wanted &wanted, Findings *missing) {
    Rows rows = ask(connection, wanted, roles_sql);
    for (int i = 0; i < rows.count; i++) {
        const char *role = rows.at(i, 0);
        bool as_owner = wanted.owners && plan::to_bool(rows.at(i, 1));
        bool for_privileges = wanted.privileges && plan::to_bool(rows.at(i, 2));
        bool always = plan::to_bool(rows.at(i, 3));
        if (!as_owner && !for_privileges && !always)
            continue;
        Oid here = get_role_oid(role, true);
        if (!OidIsValid(here))
            missing->add(Severity::error, psprintf("role %s", quote_identifier(role)),
                         psprintf(as_owner ? _("role \"%s\", an owner of objects of the source, "
                                               "does not exist here")
                                           : _("role \"%s\", which objects of the source name, "
                                               "does not exist here"),
                                  role),
                         always     ? _("Create the role with CREATE ROLE.")
                         : as_owner ? _("Create the role with CREATE ROLE, or clone with owners => "
                                        "false and privileges => false.")
                                    : _("Create the role with CREATE ROLE, or clone with "
                                        "privileges => false."));
        else if (as_owner && !pg::may_set_role(GetUserId(), here))
            missing->add(Severity::error, psprintf("role %s", quote_identifier(role)),
                         psprintf(_("objects cannot be given to role \"%s\", as \"%s\" is not a "
                                    "member of it"),
                                  role, GetUserNameFromId(GetUserId(), false)),
                         _("Clone as a superuser or a member of the role, or with owners => "
                           "false."));
    }
}

constexpr const char *extensions_sql =
    " SELECT e.extname, e.extversion FROM pg_catalog.pg_extension e WHERE e.oid >= 16384 AND (%s"
    " OR e.oid IN (SELECT d.refobjid FROM pg_catalog.pg_depend d WHERE d.deptype = 'e'"
    " AND d.classid = 'pg_catalog.pg_type'::pg_catalog.regclass AND d.objid IN ("
    "SELECT pg_catalog.unnest(ARRAY[y.oid, y.typelem, y.typbasetype]) FROM c"
    " JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0"
    " JOIN pg_catalog.pg_type y ON y.oid = a.atttypid)"
    " OR d.deptype = 'e' AND d.classid = 'pg_catalog.pg_opclass'::pg_catalog.regclass"
    " AND d.objid IN (SELECT pg_catalog.unnest(i.indclass::pg_catalog.oid[])"
    " FROM pg_catalog.pg_index i JOIN t ON t.oid = i.indrelid))) ORDER BY 1";

// Whether a version is older than another: as far as they are numbers with dots between them.
bool is_older(const char *version, const char *other) {
    for (;;) {
        if (!isdigit(static_cast<unsigned char>(*version)) ||
            !isdigit(static_cast<unsigned char>(*other)))
            return false;
        char *end;
        char *other_end;
        unsigned long number = strtoul(version, &end, 10);
        unsigned long other_number = strtoul(other, &other_end, 10);
        if (number != other_number)
            return number < other_number;
        if (*other_end != '.')
            return false;
        if (*end != '.')
            return true;
        version = end + 1;
        other = other_end + 1;
    }
}

void find_extension(const Wanted &wanted, const char *name, const char *version, const Rows &here,
                    int row, Findings *missing) {
    const char *object = psprintf("extension %s", quote_identifier(name));
    const char *installed = here.at_or_null(row, 1);
    const char *available = here.at_or_null(row, 2);
    bool may_create =
        superuser() || !plan::to_bool(here.at(row, 3)) || plan::to_bool(here.at(row, 4));
    const char *ours = installed != nullptr ? installed : available;
    if (ours == nullptr)
        missing->add(Severity::error, object,
                     psprintf(_("extension \"%s\" of the source is not available here"), name),
                     _("Install the extension's package on this server."));
    else if (installed == nullptr && !wanted.whole)
        missing->add(
            Severity::error, object,
            psprintf(_("extension \"%s\", which the tables need, is not installed here"), name),
            _("Run CREATE EXTENSION: a clone of some tables creates these alone."));
    else if (installed == nullptr && !may_create)
        missing->add(Severity::error, object,
                     psprintf(_("permission denied to create extension \"%s\""), name),
                     _("Have a superuser run CREATE EXTENSION."));
    else if (is_older(ours, version))
        missing->add(Severity::warning, object,
                     psprintf(_("extension \"%s\" is of version %s here, and of version %s on the "
                                "source"),
                              name, ours, version),
                     installed != nullptr
                         ? _("Install a newer package, and run ALTER EXTENSION ... UPDATE.")
                         : _("Install a newer package."));
}

void find_extensions(source::Connection *connection, const Wanted &wanted, Findings *missing) {
    Rows rows = ask(connection, wanted, extensions_sql);
    auto **names = static_cast<const char **>(palloc(sizeof(char *) * rows.count + 1));
    for (int i = 0; i < rows.count; i++)
        names[i] = rows.at(i, 0);
    const char *array = OidOutputFunctionCall(F_ARRAY_OUT, pg::text_array(names, rows.count));
    Rows here = query_here(
        "SELECT w.name, x.extversion, a.default_version, coalesce(v.superuser, true),"
        " coalesce(v.trusted, false)"
        " FROM pg_catalog.unnest($1::pg_catalog.text[]) WITH ORDINALITY w(name, n)"
        " LEFT JOIN pg_catalog.pg_extension x ON x.extname = w.name::pg_catalog.name"
        " LEFT JOIN pg_catalog.pg_available_extensions() a ON a.name = w.name::pg_catalog.name"
        " LEFT JOIN pg_catalog.pg_available_extension_versions() v"
        " ON v.name = a.name AND v.version = a.default_version ORDER BY w.n",
        {&array, 1});
    for (int i = 0; i < rows.count; i++)
        find_extension(wanted, names[i], rows.at(i, 1), here, i, missing);
}

void find_tablespaces(source::Connection *connection, const Wanted &wanted, Findings *missing) {
    Rows rows = ask(connection, wanted,
                    " SELECT DISTINCT s.spcname FROM c JOIN pg_catalog.pg_tablespace s"
                    " ON s.oid = c.reltablespace WHERE s.spcname <> 'pg_default' ORDER BY 1");
    for (int i = 0; i < rows.count; i++) {
        const char *name = rows.at(i, 0);
        const char *object = psprintf("tablespace %s", quote_identifier(name));
        Oid here = get_tablespace_oid(name, true);
        if (!OidIsValid(here))
            missing->add(Severity::error, object,
                         psprintf(_("tablespace \"%s\" of the source does not exist here"), name),
                         _("Create the tablespace with CREATE TABLESPACE."));
        else if (pg::check_tablespace(here, GetUserId(), ACL_CREATE) != ACLCHECK_OK)
            missing->add(Severity::error, object,
                         psprintf(_("permission denied for tablespace %s"), name),
                         _("Grant CREATE on the tablespace."));
    }
}

// The collations of columns, indexes, domains and ranges: those that every database has are left out.
// Those of the system are not created by definitions, nor are others with those of some tables.
constexpr const char *collations_sql =
    " SELECT DISTINCT n.nspname, l.collname, l.collprovider, l.collcollate,"
    " l.oid < 16384 OR NOT %s, %l FROM pg_catalog.pg_collation l"
    " JOIN pg_catalog.pg_namespace n ON n.oid = l.collnamespace WHERE l.oid IN ("
    "SELECT a.attcollation FROM c JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid"
    " UNION ALL SELECT y.typcollation FROM pg_catalog.pg_type y"
    " WHERE %s AND y.typtype = 'd' AND y.oid >= 16384"
    " UNION ALL SELECT r.rngcollation FROM pg_catalog.pg_range r WHERE %s"
    " UNION ALL SELECT l.oid FROM pg_catalog.pg_collation l WHERE %s AND l.oid >= 16384)"
    " AND NOT EXISTS (SELECT FROM x WHERE x.objid = l.oid"
    " AND x.classid = 'pg_catalog.pg_collation'::pg_catalog.regclass)"
    " AND NOT (n.nspname = 'pg_catalog' AND l.collname IN ('default', 'C', 'POSIX', 'ucs_basic')) "
    "ORDER BY 1, 2";

bool has_locale(const char *name) {
    locale_t locale = newlocale(LC_COLLATE_MASK, name, locale_t{});
    if (locale == locale_t{})
        return false;
    freelocale(locale);
    return true;
}

// Compares a collation that exists here with that of the source.
void compare_collation(const char *name, const char *theirs, Oid here, Findings *missing) {
    const char *oid = psprintf("%u", here);
    Rows rows = query_here(psprintf("SELECT %s FROM pg_catalog.pg_collation l"
                                    " WHERE l.oid = $1::pg_catalog.oid",
                                    collation_locale(PG_VERSION_NUM)),
                           {&oid, 1});
    const char *ours = rows.at(0, 0);
    if (strcmp(ours, theirs) != 0)
        missing->add(Severity::warning, psprintf("collation %s", name),
                     psprintf(_("the locale of collation %s is \"%s\" on the source, here it is "
                                "\"%s\""),
                              name, theirs, ours),
                     _("Texts sort differently."));
}

void find_collations(source::Connection *connection, const Wanted &wanted, Findings *missing) {
    Rows rows = ask(connection, wanted, collations_sql);
    for (int i = 0; i < rows.count; i++) {
        const char *name = quote_qualified_identifier(rows.at(i, 0), rows.at(i, 1));
        const char *object = psprintf("collation %s", name);
        const char *locale = rows.at_or_null(i, 3);
        if (plan::to_bool(rows.at(i, 4))) {
            List *names = list_make2(makeString(const_cast<char *>(rows.at(i, 0))),
                                     makeString(const_cast<char *>(rows.at(i, 1))));
            Oid here = OidIsValid(get_namespace_oid(rows.at(i, 0), true))
                           ? get_collation_oid(names, true)
                           : InvalidOid;
            if (OidIsValid(here))
                compare_collation(name, rows.at(i, 5), here, missing);
            else
                missing->add(Severity::error, object,
                             psprintf(_("collation %s of the source does not exist here"), name),
                             strcmp(rows.at(i, 0), "pg_catalog") == 0
                                 ? _("Install the locale on this server, and run SELECT "
                                     "pg_import_system_collations('pg_catalog').")
                                 : _("Create the collation with CREATE COLLATION."));
        } else if (rows.at(i, 2)[0] == COLLPROVIDER_LIBC && locale != nullptr &&
                   !has_locale(locale)) {
            missing->add(Severity::error, object,
                         psprintf(_("collation %s of the source needs locale \"%s\", which this "
                                    "server does not have"),
                                  name, locale),
                         _("Install the locale on this server."));
        }
    }
}

// Of some tables, neither the schemas nor the types of their columns are created.
void find_schemas_and_types(source::Connection *connection, const Wanted &wanted,
                            Findings *missing) {
    Rows rows = ask(connection, wanted,
                    " SELECT DISTINCT n.nspname FROM c JOIN pg_catalog.pg_namespace n"
                    " ON n.oid = c.relnamespace ORDER BY 1");
    for (int i = 0; i < rows.count; i++) {
        if (!OidIsValid(get_namespace_oid(rows.at(i, 0), true)))
            missing->add(
                Severity::error, psprintf("schema %s", quote_identifier(rows.at(i, 0))),
                psprintf(_("schema \"%s\" of the source does not exist here"), rows.at(i, 0)),
                _("Run CREATE SCHEMA: a clone of some tables creates these alone."));
    }
    rows = ask(connection, wanted,
               " SELECT DISTINCT n.nspname, b.typname FROM t"
               " JOIN pg_catalog.pg_attribute a ON a.attrelid = t.oid AND a.attnum > 0"
               " AND NOT a.attisdropped JOIN pg_catalog.pg_type y ON y.oid = a.atttypid"
               " JOIN pg_catalog.pg_type b ON b.oid ="
               " CASE WHEN y.typelem <> 0 AND y.typlen = -1 THEN y.typelem ELSE y.oid END"
               " JOIN pg_catalog.pg_namespace n ON n.oid = b.typnamespace WHERE b.oid >= 16384"
               " AND n.nspname <> 'information_schema'"
               " AND (b.typrelid = 0 OR b.typrelid NOT IN (SELECT oid FROM t))"
               " AND NOT EXISTS (SELECT FROM x WHERE x.objid = b.oid"
               " AND x.classid = 'pg_catalog.pg_type'::pg_catalog.regclass) ORDER BY 1, 2");
    for (int i = 0; i < rows.count; i++) {
        const char *name = quote_qualified_identifier(rows.at(i, 0), rows.at(i, 1));
        Oid schema = get_namespace_oid(rows.at(i, 0), true);
        if (!OidIsValid(schema) ||
            !SearchSysCacheExists2(TYPENAMENSP, CStringGetDatum(rows.at(i, 1)),
                                   ObjectIdGetDatum(schema)))
            missing->add(Severity::error, psprintf("type %s", name),
                         psprintf(_("type %s of the source does not exist here"), name),
                         _("Run CREATE TYPE: a clone of some tables creates these alone."));
    }
}

}  // namespace

void check_may_create() {
    if (!has_privs_of_role(GetUserId(), ROLE_PG_EXECUTE_SERVER_PROGRAM))
        ereport(
            ERROR,
            (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
             errmsg("permission denied to create the definitions of the source"),
             errdetail("Only superusers and members of role pg_execute_server_program may have "
                       "this server run pg_dump."),
             errhint("Create the tables first, and copy into them with definitions => 'keep'.")));
}

Findings find_missing(source::Connection *connection, const Wanted &wanted) {
    Findings missing{};
    find_roles(connection, wanted, &missing);
    find_extensions(connection, wanted, &missing);
    find_tablespaces(connection, wanted, &missing);
    find_collations(connection, wanted, &missing);
    if (!wanted.whole)
        find_schemas_and_types(connection, wanted, &missing);
    return missing;
}

void raise_missing(const Findings &missing) {
    const Finding *only = nullptr;
    int errors = 0;
    StringInfoData list;
    initStringInfo(&list);
    for (int i = 0; i < missing.count; i++) {
        if (missing.findings[i].severity != Severity::error)
            continue;
        only = &missing.findings[i];
        appendStringInfo(&list, "%s%s", errors++ > 0 ? "\n" : "", only->finding);
    }
    if (errors == 1)
        ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT), errmsg_internal("%s", only->finding),
                        errhint("%s", only->hint)));
    if (errors > 1)
        ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
                        errmsg("%d objects that the definitions of the source need are missing "
                               "here",
                               errors),
                        errdetail_internal("%s", list.data),
                        errhint("fastcopy.check has a hint for each.")));
}

}  // namespace fastcopy::run
