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

struct Objects {
    int count;
    Oid *oids;
};

// Those that are created: the source is not asked which, so that it cannot have others overwritten.
Objects list_created() {
    MemoryContext caller = CurrentMemoryContext;
    if (SPI_connect() != SPI_OK_CONNECT)
        elog(ERROR, "SPI_connect failed");
    if (SPI_execute("SELECT oid FROM pg_catalog.pg_largeobject_metadata WHERE xmin"
                    " OPERATOR(pg_catalog.=) pg_catalog.pg_current_xact_id()::pg_catalog.xid"
                    " ORDER BY oid",
                    false, 0) != SPI_OK_SELECT)
        elog(ERROR, "could not list large objects");
    Objects created{static_cast<int>(SPI_processed),
                    static_cast<Oid *>(MemoryContextAllocHuge(
                        caller, sizeof(Oid) * (static_cast<Size>(SPI_processed) + 1)))};
    for (int i = 0; i < created.count; i++) {
        bool is_null;
        created.oids[i] = DatumGetObjectId(
            SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &is_null));
    }
    SPI_finish();
    return created;
}

// Reads a piece of each of these objects, from the same position of all, and writes it. Returns how
// many objects may go on, and moves them to the front.
int copy_piece(RunningJob *job, Oid *oids, int count, int64 from) {
    const char *params[] = {OidOutputFunctionCall(F_ARRAY_OUT, pg::oid_array(oids, count)),
                            psprintf(INT64_FORMAT, from), psprintf("%d", piece)};
    source::Rows rows = source::query(
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
        pg::write_large_object(oids[i], from, VARDATA_ANY(bytes), size);
        if (size >= piece)
            oids[left++] = oids[i];
    }
    return left;
}

}  // namespace

void copy_large_objects(RunningJob *job) {
    Objects objects = list_created();
    MemoryContext per_piece = AllocSetContextCreate(CurrentMemoryContext, "fastcopy large objects",
                                                    ALLOCSET_DEFAULT_SIZES);
    for (int done = 0; done < objects.count; done += most_per_query) {
        pg::show_activity(psprintf("fastcopy job " INT64_FORMAT, job->area->job),
                          psprintf("copying large object %d of %d", done + 1, objects.count));
        int count = Min(objects.count - done, most_per_query);
        for (int64 from = 0; count > 0; from += piece) {
            check_cancel(job);
            MemoryContext old = MemoryContextSwitchTo(per_piece);
            count = copy_piece(job, objects.oids + done, count, from);
            MemoryContextSwitchTo(old);
            MemoryContextReset(per_piece);
        }
    }
    MemoryContextDelete(per_piece);
}

}  // namespace fastcopy::run
