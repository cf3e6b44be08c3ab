#include "job/ledger_ways.hpp"

#include "job/ledger_session.hpp"

namespace fastcopy::job::ledger {

void note_ways(int64 job, int32 table, const Ways &ways) {
    Session session = open();
    Params p;
    p.add_int8(job);
    p.add_text(ways.reader);
    p.add_text(ways.reader_reason);
    p.add_text(ways.writer);
    p.add_text(ways.writer_reason);
    p.add_text(ways.warning);
    p.add_int4(table);
    run("UPDATE fastcopy.job_table SET reader = coalesce($2, reader),"
        " reader_reason = CASE WHEN $2 IS NULL THEN reader_reason ELSE $3 END, writer = $4,"
        " writer_reason = $5, warning = CASE WHEN $2 IS NULL THEN warning ELSE $6 END"
        " WHERE job = $1 AND number = $7",
        &p, SPI_OK_UPDATE);
    if (SPI_processed != 1)
        raise_gone(job);
    close(session);
}

const char **read_only_relations(int64 job, int32 table, int *count) {
    MemoryContext caller = CurrentMemoryContext;
    Session session = open();
    Params p;
    p.add_int8(job);
    p.add_int4(table);
    read(
        "SELECT coalesce(array_agg(DISTINCT substr(relation, length('ONLY ') + 1)), '{}')"
        " AS relations"
        " FROM fastcopy.chunk WHERE job = $1 AND table_number = $2 AND NOT done AND "
        "starts_with(relation, 'ONLY ')",
        &p);
    MemoryContext old = MemoryContextSwitchTo(caller);
    const char **relations = field_texts("relations", count);
    MemoryContextSwitchTo(old);
    close(session);
    return relations;
}

}  // namespace fastcopy::job::ledger
