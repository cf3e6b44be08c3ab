#include "plan/money.hpp"

#include "plan/type_parts.hpp"

namespace fastcopy::plan {

namespace {

// Enough digits for each separator to show.
constexpr char amount[] = "1234567.89";

const char *written_here() {
    Datum number = DirectFunctionCall3(numeric_in, CStringGetDatum(amount),
                                       ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1));
    return DatumGetCString(
        DirectFunctionCall1(cash_out, DirectFunctionCall1(numeric_cash, number)));
}

const char *written_by(source::Connection *connection) {
    source::Rows rows = source::query(
        connection, psprintf("SELECT '%s'::pg_catalog.numeric::pg_catalog.money", amount));
    return rows.at(0, 0);
}

}  // namespace

void check_money(source::Connection *connection, const RowShape &shape) {
    for (int i = 0; i < shape.ncolumns; i++) {
        if (!shape.as_written[i] ||
            !any_part(shape.types[i], [](Oid type) { return type == MONEYOID; }))
            continue;
        const char *there = written_by(connection);
        const char *here = written_here();
        if (strcmp(there, here) == 0)
            return;
        ereport(
            ERROR,
            (errcode(ERRCODE_DATATYPE_MISMATCH),
             errmsg("source and target write values of type money in different ways"),
             errdetail("Column \"%s\" contains money. The source writes the amount %s as \"%s\", "
                       "this session as \"%s\".",
                       shape.columns[i], amount, there, here),
             errhint("Use the same lc_monetary on both sides: set it in this session, or with "
                     "options='-c lc_monetary=...' in the connection string.")));
    }
}

}  // namespace fastcopy::plan
