#include "run/local_query.hpp"

namespace fastcopy::run {

namespace {

source::Rows copy_rows(MemoryContext context) {
    MemoryContext old = MemoryContextSwitchTo(context);
    auto count = static_cast<Size>(SPI_processed);
    TupleDesc tupdesc = SPI_tuptable->tupdesc;
    source::Rows rows{static_cast<int>(count), tupdesc->natts, nullptr};
    rows.fields = static_cast<const char **>(MemoryContextAllocHuge(
        context, sizeof(char *) * (count * static_cast<Size>(rows.columns) + 1)));
    for (int i = 0; i < rows.count; i++) {
        for (int j = 0; j < rows.columns; j++)
            rows.fields[i * rows.columns + j] = SPI_getvalue(SPI_tuptable->vals[i], tupdesc, j + 1);
    }
    MemoryContextSwitchTo(old);
    return rows;
}

}  // namespace

source::Rows query_here(const char *sql, std::span<const char *const> params) {
    constexpr int most_params = 4;
    Oid types[most_params];
    Datum values[most_params];
    auto count = static_cast<int>(params.size());
    Assert(count <= most_params);
    for (int i = 0; i < count; i++) {
        types[i] = TEXTOID;
        values[i] = CStringGetTextDatum(params[static_cast<size_t>(i)]);
    }
    MemoryContext context = CurrentMemoryContext;
    int nest_level = NewGUCNestLevel();
    (void)set_config_option("search_path", "", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0,
                            false);
    if (SPI_connect() != SPI_OK_CONNECT)
        elog(ERROR, "SPI_connect failed");
    int result = SPI_execute_with_args(sql, count, types, values, nullptr, true, 0);
    if (result != SPI_OK_SELECT)
        elog(ERROR, "%s: %s", sql, SPI_result_code_string(result));
    source::Rows rows = copy_rows(context);
    SPI_finish();
    AtEOXact_GUC(false, nest_level);
    return rows;
}

}  // namespace fastcopy::run
