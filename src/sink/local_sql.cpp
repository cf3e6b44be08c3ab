#include "sink/local_sql.hpp"

namespace fastcopy::sink {

void run_local(const char *sql) {
    if (SPI_connect() != SPI_OK_CONNECT)
        elog(ERROR, "SPI_connect failed");
    int result = SPI_execute(sql, false, 0);
    if (result < 0)
        elog(ERROR, "%s: %s", sql, SPI_result_code_string(result));
    SPI_finish();
}

char *quoted_relation(Oid relid) {
    const char *name = get_rel_name(relid);
    const char *schema = name != nullptr ? get_namespace_name(get_rel_namespace(relid)) : nullptr;
    if (schema == nullptr)
        ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE),
                        errmsg("relation with OID %u does not exist", relid)));
    return quote_qualified_identifier(schema, name);
}

}  // namespace fastcopy::sink
