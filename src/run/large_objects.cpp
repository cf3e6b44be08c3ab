#include "run/large_objects.hpp"

#include "pg/arrays.hpp"
#include "pg/large_object.hpp"
#include "plan/answers.hpp"
#include "sink/local_sql.hpp"

namespace fastcopy::run {

namespace {

// Bytes of one object, and objects, that one query asks for.
constexpr int piece = 128 * 1024;
constexpr int most_per_query = 64;

using source::Rows;

// The next objects after one: OID, owner, comment, and whether privileges were granted or revoked.
Rows list_objects(RunningJob *job, Oid after) {
    const char *params[] = {psprintf("%u", after), psprintf("%d", most_per_query)};
    return source::query(
        job->connection,
        "SELECT l.oid, pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(l.lomowner)),"
        " pg_catalog.obj_description(l.oid, 'pg_largeobject'), l.lomacl IS NOT NULL"
        " FROM pg_catalog.pg_largeobject_metadata l"
        " WHERE l.oid OPERATOR(pg_catalog.>) $1::pg_catalog.oid"
        " ORDER BY l.oid LIMIT $2::pg_catalog.int8",
        lengthof(params), params);
}

void create(const Rows &objects) {
    for (int i = 0; i < objects.count; i++) {
        Oid oid = plan::oid_at(objects, i, 0);
        const char *comment = objects.at_or_null(i, 2);
        sink::run_local(psprintf("SELECT pg_catalog.lo_create(%u)", oid));
        if (comment != nullptr)
            sink::run_local(
                psprintf("COMMENT ON LARGE OBJECT %u IS %s", oid, quote_literal_cstr(comment)));
    }
}

// Hands objects over to their owners. Owners keep all rights if they are not the source's.
void hand_over(const job::Request &request, const Rows &objects) {
    for (int i = 0; i < objects.count && request.owners; i++) {
        Oid oid = plan::oid_at(objects, i, 0);
        if (request.privileges && plan::to_bool(objects.at(i, 3)))
            sink::run_local(psprintf("REVOKE ALL ON LARGE OBJECT %u FROM CURRENT_USER", oid));
        sink::run_local(
            psprintf("ALTER LARGE OBJECT %u OWNER TO %s", oid, plan::to_name(objects.at(i, 1))));
    }
}

// Grants what is granted on the source.
void grant(RunningJob *job, const char *oids) {
    const char *params[] = {oids, job->request.owners ? "true" : "false"};
    Rows rows = source::query(
        job->connection,
        "SELECT l.oid, CASE WHEN a.grantee OPERATOR(pg_catalog.=) 0::pg_catalog.oid THEN 'PUBLIC'"
        " ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(a.grantee)) END,"
        " a.privilege_type, a.is_grantable FROM pg_catalog.pg_largeobject_metadata l,"
        " LATERAL pg_catalog.aclexplode(l.lomacl) WITH ORDINALITY"
        " a(grantor, grantee, privilege_type, is_grantable, n)"
        " WHERE l.oid OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.oid[])"
        " AND ($2::pg_catalog.bool OR a.grantee OPERATOR(pg_catalog.<>) l.lomowner)"
        " ORDER BY l.oid, a.n",
        lengthof(params), params);
    for (int i = 0; i < rows.count; i++) {
        const char *grantee = rows.at(i, 1);
        const char *privilege = rows.at(i, 2);
        if (strcmp(privilege, "SELECT") != 0 && strcmp(privilege, "UPDATE") != 0)
            source::raise_odd_answer("The source returned an unknown privilege.");
        sink::run_local(psprintf("GRANT %s ON LARGE OBJECT %u TO %s%s", privilege,
                                 plan::oid_at(rows, i, 0),
                                 strcmp(grantee, "PUBLIC") == 0 ? grantee : plan::to_name(grantee),
                                 plan::to_bool(rows.at(i, 3)) ? " WITH GRANT OPTION" : ""));
    }
}

// Reads a piece of each of these objects, from the same position of all, and writes it. Returns how
// many objects may go on, and moves them to the front.
int copy_piece(RunningJob *job, Oid *oids, int count, int64 from) {
    const char *params[] = {OidOutputFunctionCall(F_ARRAY_OUT, pg::oid_array(oids, count)),
                            psprintf(INT64_FORMAT, from), psprintf("%d", piece)};
    Rows rows = source::query(
        job->connection,
        "SELECT u.oid, pg_catalog.lo_get(u.oid, $2::pg_catalog.int8, $3::pg_catalog.int4)"
        " FROM pg_catalog.unnest($1::pg_catalog.oid[]) WITH ORDINALITY u(oid, n) ORDER BY u.n",
        lengthof(params), params);
    int left = 0;
    for (int i = 0; i < count; i++) {
        if (plan::oid_at(rows, i, 0) != oids[i])
            source::raise_odd_answer("The source returned another large object.");
        bytea *bytes =
            DatumGetByteaPP(DirectFunctionCall1(byteain, CStringGetDatum(rows.at(i, 1))));
        auto size = static_cast<int>(VARSIZE_ANY_EXHDR(bytes));
        if (size > piece)
            source::raise_odd_answer("The source returned more of a large object than asked for.");
        pg::write_large_object(oids[i], from, VARDATA_ANY(bytes), size);
        if (size >= piece)
            oids[left++] = oids[i];
    }
    return left;
}

void copy_contents(RunningJob *job, Oid *oids, int count, MemoryContext per_piece) {
    for (int64 from = 0; count > 0; from += piece) {
        check_cancel(job);
        MemoryContext old = MemoryContextSwitchTo(per_piece);
        count = copy_piece(job, oids, count, from);
        MemoryContextSwitchTo(old);
        MemoryContextReset(per_piece);
    }
}

// Copies the next objects after one. Returns the last of them, or InvalidOid if there are no more.
Oid copy_some(RunningJob *job, Oid after, MemoryContext per_piece) {
    Rows objects = list_objects(job, after);
    auto *oids = static_cast<Oid *>(palloc(sizeof(Oid) * objects.count + 1));
    for (int i = 0; i < objects.count; i++) {
        oids[i] = plan::oid_at(objects, i, 0);
        if (oids[i] <= after)
            source::raise_odd_answer("The source returned large objects out of order.");
        after = oids[i];
    }
    if (objects.count == 0)
        return InvalidOid;
    pg::show_activity(psprintf("fastcopy job " INT64_FORMAT, job->area->job),
                      psprintf("copying large objects up to %u", after));
    const char *all = OidOutputFunctionCall(F_ARRAY_OUT, pg::oid_array(oids, objects.count));
    create(objects);
    copy_contents(job, oids, objects.count, per_piece);
    // Last: the role may lose its own privileges.
    hand_over(job->request, objects);
    if (job->request.privileges)
        grant(job, all);
    return objects.count == most_per_query ? after : InvalidOid;
}

}  // namespace

void copy_large_objects(RunningJob *job) {
    MemoryContext batch = AllocSetContextCreate(CurrentMemoryContext, "fastcopy large objects",
                                                ALLOCSET_DEFAULT_SIZES);
    MemoryContext per_piece = AllocSetContextCreate(
        CurrentMemoryContext, "fastcopy piece of large objects", ALLOCSET_DEFAULT_SIZES);
    Oid last = InvalidOid;
    do {
        check_cancel(job);
        MemoryContext old = MemoryContextSwitchTo(batch);
        last = copy_some(job, last, per_piece);
        MemoryContextSwitchTo(old);
        MemoryContextReset(batch);
    } while (OidIsValid(last));
    MemoryContextDelete(batch);
    MemoryContextDelete(per_piece);
}

}  // namespace fastcopy::run
