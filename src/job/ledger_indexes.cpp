// The ledger of the indexes that jobs have set aside.
#include "job/ledger.hpp"
#include "job/ledger_session.hpp"

namespace fastcopy::job::ledger {

void add_indexes(int64 job, int32 table, int32 first, const TargetIndexes &indexes) {
    Session session = open();
    for (int i = 0; i < indexes.count; i++) {
        const TargetIndex &index = indexes.indexes[i];
        Row row;
        row.column("job").add_int8(job);
        row.column("number").add_int4(first + i);
        row.column("table_number").add_int4(table);
        row.column("index").add_oid(index.oid);
        row.column("name").add_text(index.name);
        row.column("definition").add_text(index.definition);
        insert("fastcopy.index", &row);
    }
    close(session);
}

Oid lock_unbuilt_index(int64 job, int32 number) {
    Session session = open();
    Params p;
    p.add_int8(job);
    p.add_int4(number);
    run("SELECT index::int8 FROM fastcopy.index WHERE job = $1 AND number = $2 AND NOT done"
        " FOR UPDATE",
        &p, SPI_OK_SELECT);
    Oid index = SPI_processed == 1 ? static_cast<Oid>(field_int8("index", 0)) : InvalidOid;
    close(session);
    return index;
}

int count_done_indexes(int64 job) {
    Session session = open();
    Params p;
    p.add_int8(job);
    read("SELECT count(*) AS done FROM fastcopy.index WHERE job = $1 AND done", &p);
    auto done = static_cast<int>(field_int8("done", 0));
    close(session);
    return done;
}

void mark_index_done(int64 job, int32 number, TimestampTz started_at) {
    Session session = open();
    Params p;
    p.add_int8(job);
    p.add_int4(number);
    p.add_time(started_at);
    p.add_time(GetCurrentTimestamp());
    run("UPDATE fastcopy.index SET done = true, started_at = $3, finished_at = $4"
        " WHERE job = $1 AND number = $2",
        &p, SPI_OK_UPDATE);
    close(session);
}

void begin_indexing(int64 job) {
    Session session = open();
    Params p;
    p.add_int8(job);
    run("UPDATE fastcopy.job SET state = 'indexing' WHERE job = $1", &p, SPI_OK_UPDATE);
    close(session);
}

}  // namespace fastcopy::job::ledger
