#include "run/snapshot.hpp"

#include "job/registry.hpp"

namespace fastcopy::run::snapshot {

namespace {

void set(job::Area *area, Custody custody) {
    pg_write_barrier();
    pg_atomic_write_u32(&area->snapshot_custody, static_cast<uint32>(custody));
}

void write_name(job::Area *area, const char *name) {
    job::lock_registry(LW_EXCLUSIVE);
    strlcpy(area->snapshot, name, sizeof(area->snapshot));
    job::unlock_registry();
}

const char *read_name(job::Area *area) {
    char name[sizeof(area->snapshot)];
    job::lock_registry(LW_SHARED);
    memcpy(name, area->snapshot, sizeof(name));
    job::unlock_registry();
    return pstrdup(name);
}

const char *export_from(source::Connection *connection) {
    return source::query(connection, "SELECT pg_catalog.pg_export_snapshot()").at(0, 0);
}

// Whoever held the snapshot may lose its connection before anybody here notices: then the source no longer
// knows the name. That is a lost connection like any other, and passes by itself if another one is left.
void import_into(source::Connection *connection, const char *name) {
    source::begin(connection);
    MemoryContext context = CurrentMemoryContext;
    PG_TRY();
    {
        (void)source::query(connection,
                            psprintf("SET TRANSACTION SNAPSHOT %s", quote_literal_cstr(name)));
    }
    PG_CATCH();
    {
        MemoryContextSwitchTo(context);
        ErrorData *error = CopyErrorData();
        if (error->sqlerrcode != ERRCODE_INVALID_PARAMETER_VALUE &&
            error->sqlerrcode != ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE)
            PG_RE_THROW();
        FlushErrorState();
        ereport(ERROR, (errcode(ERRCODE_CONNECTION_FAILURE),
                        errmsg("the connection that held the snapshot of the source is lost"),
                        errdetail_internal("%s", error->message)));
    }
    PG_END_TRY();
}

}  // namespace

Custody custody(job::Area *area) {
    return static_cast<Custody>(pg_atomic_read_u32(&area->snapshot_custody));
}

void publish(job::Area *area, const char *name) {
    write_name(area, name);
    set(area, Custody::held);
}

void want(job::Area *area) {
    set(area, Custody::wanted);
}

void offer_if_wanted(job::Area *area, source::Connection *connection, Latch *coordinator) {
    uint32 expected = static_cast<uint32>(Custody::wanted);
    if (custody(area) != Custody::wanted)
        return;
    const char *name = export_from(connection);
    write_name(area, name);
    if (pg_atomic_compare_exchange_u32(&area->snapshot_custody, &expected,
                                       static_cast<uint32>(Custody::offered)))
        SetLatch(coordinator);
}

void join(job::Area *area, source::Connection *connection) {
    if (custody(area) != Custody::held)
        ereport(ERROR, (errcode(ERRCODE_CONNECTION_FAILURE),
                        errmsg("the coordinator has lost its connection to the source server"),
                        errdetail("It is about to take the snapshot over from another worker.")));
    import_into(connection, read_name(area));
}

void take_over(job::Area *area, source::Connection *connection) {
    import_into(connection, read_name(area));
    publish(area, export_from(connection));
}

}  // namespace fastcopy::run::snapshot
