#include "run/snapshot.hpp"

#include "job/registry.hpp"
#include "pg/wait.hpp"
#include "source/session.hpp"

namespace fastcopy::run::snapshot {

namespace {

constexpr long look_every_ms = 100;

// A consistent copy of the area's fields.
struct State {
    Custody custody;
    char name[sizeof(job::Area::snapshot)];
};

State look(job::Area *area) {
    State state;
    job::lock_registry(LW_SHARED);
    state.custody = custody(area);
    memcpy(state.name, area->snapshot, sizeof(state.name));
    job::unlock_registry();
    return state;
}

// Changes the state, and the name if one is given, but only from the state that the caller has
// seen: this custody and, if given, this former name. Returns whether it did.
bool change(job::Area *area, Custody from, const char *former_name, Custody to, const char *name) {
    job::lock_registry(LW_EXCLUSIVE);
    bool known = custody(area) == from &&
                 (former_name == nullptr || strcmp(area->snapshot, former_name) == 0);
    if (known) {
        if (name != nullptr)
            strlcpy(area->snapshot, name, sizeof(area->snapshot));
        pg_atomic_write_u32(&area->snapshot_custody, static_cast<uint32>(to));
    }
    job::unlock_registry();
    return known;
}

const char *export_from(source::Connection *connection) {
    return source::query(connection, "SELECT pg_catalog.pg_export_snapshot()").at(0, 0);
}

// Begins a transaction under that snapshot. False, without a transaction, if the source does not
// have it.
bool import_into(source::Connection *connection, const char *name) {
    MemoryContext context = CurrentMemoryContext;
    volatile bool imported = false;
    source::begin(connection);
    PG_TRY();
    {
        (void)source::query(connection,
                            psprintf("SET TRANSACTION SNAPSHOT %s", quote_literal_cstr(name)));
        imported = true;
    }
    PG_CATCH();
    {
        MemoryContextSwitchTo(context);
        ErrorData *error = CopyErrorData();
        if (!source::is_missing_snapshot(error->sqlerrcode))
            PG_RE_THROW();
        FlushErrorState();
        FreeErrorData(error);
    }
    PG_END_TRY();
    if (!imported) {
        source::drain(connection);
        (void)source::query(connection, "ROLLBACK");
    }
    return imported;
}

}  // namespace

Custody custody(job::Area *area) {
    return static_cast<Custody>(pg_atomic_read_u32(&area->snapshot_custody));
}

void publish(job::Area *area, const char *name) {
    (void)change(area, custody(area), nullptr, Custody::held, name);
}

void want(job::Area *area) {
    (void)change(area, custody(area), nullptr, Custody::wanted, nullptr);
}

void offer_if_wanted(job::Area *area, source::Connection *connection, Latch *coordinator) {
    if (custody(area) != Custody::wanted)
        return;
    const char *name = export_from(connection);
    if (change(area, Custody::wanted, nullptr, Custody::offered, name))
        SetLatch(coordinator);
}

void join(job::Area *area, source::Connection *connection, Latch *coordinator) {
    for (;;) {
        State now = look(area);
        if (now.custody != Custody::held)
            (void)pg::wait_latch(look_every_ms);
        else if (import_into(connection, now.name))
            return;
        else if (change(area, Custody::held, now.name, Custody::wanted, nullptr))
            SetLatch(coordinator);
    }
}

void take_over(job::Area *area, source::Connection *connection) {
    if (!import_into(connection, look(area).name))
        ereport(ERROR, (errcode(ERRCODE_CONNECTION_FAILURE),
                        errmsg("the connection that held the snapshot of the source is lost")));
    publish(area, export_from(connection));
}

}  // namespace fastcopy::run::snapshot
