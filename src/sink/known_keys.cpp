#include "sink/known_keys.hpp"

#include "pg/arrays.hpp"
#include "sink/local_sql.hpp"

namespace fastcopy::sink {

namespace {

void select(const char *sql, int nargs, Oid *types, Datum *values) {
    if (SPI_connect() != SPI_OK_CONNECT)
        elog(ERROR, "SPI_connect failed");
    int result = SPI_execute_with_args(sql, nargs, types, values, nullptr, false, 0);
    if (result != SPI_OK_SELECT)
        elog(ERROR, "%s: %s", sql, SPI_result_code_string(result));
}

}  // namespace

void check_sees_all(Oid target, const char *target_table) {
    if (check_enable_rls(target, InvalidOid, true) == RLS_ENABLED)
        ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
                        errmsg("cannot synchronize %s under row-level security", target_table),
                        errdetail("Rows that are in the table may be hidden, and would be copied "
                                  "again."),
                        errhint("Call fastcopy.sync as a role that bypasses the policies.")));
}

bool is_empty(Oid target) {
    select(psprintf("SELECT FROM %s LIMIT 1", quoted_relation(target)), 0, nullptr, nullptr);
    bool empty = SPI_processed == 0;
    SPI_finish();
    return empty;
}

void check_comparable(Oid target, const char *column, Oid source_type, const char *source_name) {
    AttrNumber attnum = get_attnum(target, column);
    if (attnum == InvalidAttrNumber)
        return;  // find_known() and the check of the columns say so
    Oid type;
    int32 typmod;
    Oid collation;
    get_atttypetypmodcoll(target, attnum, &type, &typmod, &collation);
    type = getBaseType(type);
    auto is_whole = [](Oid oid) { return oid == INT2OID || oid == INT4OID || oid == INT8OID; };
    auto is_text = [](Oid oid) { return oid == TEXTOID || oid == VARCHAROID; };
    bool same = type == source_type || (is_text(type) && is_text(source_type)) ||
                (is_whole(source_type) && (is_whole(type) || type == NUMERICOID));
    if (type >= FirstNormalObjectId) {
        const char *dot = strrchr(source_name, '.');
        HeapTuple tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(type));
        if (HeapTupleIsValid(tuple)) {
            const char *name = quote_identifier(
                NameStr(reinterpret_cast<Form_pg_type>(GETSTRUCT(tuple))->typname));
            same = strcmp(name, dot != nullptr ? dot + 1 : source_name) == 0;
            ReleaseSysCache(tuple);
        }
    }
    if (!same || (OidIsValid(collation) && !get_collation_isdeterministic(collation)))
        ereport(ERROR,
                (errcode(ERRCODE_DATATYPE_MISMATCH),
                 errmsg("cannot compare keys of column \"%s\" with those of the source", column),
                 same ? errdetail("The column has a nondeterministic collation.")
                      : errdetail("The column has type %s here, and %s on the source.",
                                  format_type_be(type), source_name)));
}

bool *find_known(Oid target, const char *column, const char *const *keys, int count) {
    auto *known = static_cast<bool *>(palloc0(sizeof(bool) * Max(count, 1)));
    AttrNumber attnum = get_attnum(target, column);
    if (attnum == InvalidAttrNumber)
        ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN),
                        errmsg("key column \"%s\" of target table \"%s\" does not exist", column,
                               get_rel_name(target))));
    Oid type;
    int32 typmod;
    Oid collation;
    get_atttypetypmodcoll(target, attnum, &type, &typmod, &collation);
    Oid types[] = {TEXTARRAYOID};
    Datum values[] = {pg::text_array(keys, count)};
    select(psprintf("SELECT k.n FROM pg_catalog.unnest($1) WITH ORDINALITY k(v, n)"
                    " WHERE EXISTS (SELECT FROM %s t WHERE t.%s = k.v::%s)",
                    quoted_relation(target), quote_identifier(column),
                    format_type_extended(type, typmod,
                                         FORMAT_TYPE_TYPEMOD_GIVEN | FORMAT_TYPE_FORCE_QUALIFY)),
           1, types, values);
    for (uint64 i = 0; i < SPI_processed; i++) {
        bool is_null;
        Datum n = SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &is_null);
        known[DatumGetInt64(n) - 1] = true;
    }
    SPI_finish();
    return known;
}

}  // namespace fastcopy::sink
