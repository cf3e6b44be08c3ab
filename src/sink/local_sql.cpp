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
    return quote_qualified_identifier(get_namespace_name(get_rel_namespace(relid)),
                                      get_rel_name(relid));
}

}  // namespace fastcopy::sink
