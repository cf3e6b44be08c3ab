// The part of the ledger that keeps the foreign keys that jobs check when all rows are there.
#include "job/ledger.hpp"
#include "job/ledger_session.hpp"

namespace fastcopy::job::ledger {

void add_foreign_keys(int64 job, const TargetForeignKeys &keys, bool set_aside) {
    Session session = open();
    for (int i = 0; i < keys.count; i++) {
        const TargetForeignKey &key = keys.keys[i];
        Params p;
        p.add_int8(job);
        p.add_oid(key.oid);
        p.add_text(key.name);
        p.add_text(key.table);
        p.add_text(key.definition);
        p.add_bool(set_aside);
        run("INSERT INTO fastcopy.foreign_key (job, foreign_key, name, table_name, definition,"
            " set_aside) VALUES ($1, $2, $3, $4, $5, $6)",
            &p, SPI_OK_INSERT);
    }
    close(session);
}

OpenForeignKeys read_open_foreign_keys(int64 job) {
    MemoryContext caller = CurrentMemoryContext;
    Session session = open();
    Params p;
    p.add_int8(job);
    read(
        "SELECT foreign_key::int8, set_aside FROM fastcopy.foreign_key WHERE job = $1 AND NOT done"
        " ORDER BY foreign_key",
        &p);
    OpenForeignKeys all{};
    all.keys = static_cast<OpenForeignKey *>(
        MemoryContextAlloc(caller, sizeof(OpenForeignKey) * Max(SPI_processed, 1)));
    for (uint64 i = 0; i < SPI_processed; i++) {
        HeapTuple row = SPI_tuptable->vals[i];
        bool is_null;
        all.keys[all.count++] = OpenForeignKey{
            static_cast<Oid>(DatumGetInt64(SPI_getbinval(row, SPI_tuptable->tupdesc, 1, &is_null))),
            DatumGetBool(SPI_getbinval(row, SPI_tuptable->tupdesc, 2, &is_null))};
    }
    close(session);
    return all;
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
