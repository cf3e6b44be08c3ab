// fastcopy.incoming_rows: the rows that a worker's INSERT statement selects. Other callers get an
// error.
#include "pg/postgres.hpp"
#include "sink/insert_in.hpp"

extern "C" {

PG_FUNCTION_INFO_V1(fastcopy_incoming_rows);

// fastcopy.incoming_rows() → setof record
PGDLLEXPORT Datum fastcopy_incoming_rows(PG_FUNCTION_ARGS) {
    auto *result = reinterpret_cast<ReturnSetInfo *>(fcinfo->resultinfo);
    if (result == nullptr || !IsA(result, ReturnSetInfo) ||
        (result->allowedModes & SFRM_Materialize) == 0)
        ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                        errmsg("set-valued function called in context that cannot accept a set")));
    fastcopy::sink::give_batch(result);
    return Datum{0};
}
}
