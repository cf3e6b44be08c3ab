// The ledger of the foreign keys that jobs check at their end.
#include "job/ledger.hpp"
#include "job/ledger_session.hpp"

namespace fastcopy::job::ledger {

void add_foreign_keys(int64 job, const TargetForeignKeys &keys, bool set_aside) {
    Session session = open();
    for (int i = 0; i < keys.count; i++) {
        const TargetForeignKey &key = keys.keys[i];
        Row row;
        row.column("job").add_int8(job);
        row.column("foreign_key").add_oid(key.oid);
        row.column("name").add_text(key.name);
        row.column("table_name").add_text(key.table);
        row.column("definition").add_text(key.definition);
        row.column("set_aside").add_bool(set_aside);
        row.column("was_valid").add_bool(key.valid);
        insert("fastcopy.foreign_key", &row);
    }
    close(session);
}

OpenForeignKeys read_open_foreign_keys(int64 job) {
    MemoryContext caller = CurrentMemoryContext;
    Session session = open();
    Params p;
    p.add_int8(job);
    read(
        "SELECT foreign_key::int8, set_aside, was_valid FROM fastcopy.foreign_key WHERE job = $1 "
        "AND NOT done"
        " ORDER BY foreign_key",
        &p);
    OpenForeignKeys all{};
    all.keys = static_cast<OpenForeignKey *>(
        MemoryContextAlloc(caller, sizeof(OpenForeignKey) * Max(SPI_processed, 1)));
    for (uint64 i = 0; i < SPI_processed; i++)
        all.keys[all.count++] =
            OpenForeignKey{static_cast<Oid>(field_int8("foreign_key", 0, i)),
                           field_bool("set_aside", i), field_bool("was_valid", i)};
    close(session);
    return all;
}

List *read_foreign_keys_aside() {
    MemoryContext caller = CurrentMemoryContext;
    Session session = open();
    Params none;
    read(
        "SELECT DISTINCT foreign_key::int8 FROM fastcopy.foreign_key WHERE set_aside AND was_valid"
        " AND NOT done",
        &none);
    MemoryContext old = MemoryContextSwitchTo(caller);
    List *keys = NIL;
    for (uint64 i = 0; i < SPI_processed; i++)
        keys = lappend_oid(keys, static_cast<Oid>(field_int8("foreign_key", 0, i)));
    MemoryContextSwitchTo(old);
    close(session);
    return keys;
}

void mark_foreign_key_done(int64 job, Oid key, TimestampTz started_at) {
    Session session = open();
    Params p;
    p.add_int8(job);
    p.add_oid(key);
    p.add_time(started_at);
    p.add_time(GetCurrentTimestamp());
    run("UPDATE fastcopy.foreign_key SET done = true, started_at = $3, finished_at = $4"
        " WHERE job = $1 AND foreign_key = $2",
        &p, SPI_OK_UPDATE);
    close(session);
}

}  // namespace fastcopy::job::ledger
