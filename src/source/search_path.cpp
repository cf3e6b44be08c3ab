#include "source/search_path.hpp"

namespace fastcopy::source {

bool is_unresolved_name(int sqlerrcode) {
    switch (sqlerrcode) {
        case ERRCODE_UNDEFINED_FUNCTION:  // or operator
        case ERRCODE_UNDEFINED_TABLE:
        case ERRCODE_UNDEFINED_OBJECT:  // a type, among others
            return true;
        default:
            return false;
    }
}

void use_own_search_path(Connection *connection) {
    // The value that RESET search_path would restore.
    (void)query(connection,
                "SELECT pg_catalog.set_config('search_path', pg_catalog.concat_ws(', ',"
                " 'pg_catalog', nullif(s.reset_val, ''), 'pg_temp'), false)"
                " FROM pg_catalog.pg_settings s WHERE s.name OPERATOR(pg_catalog.=) 'search_path'");
}

void use_no_search_path(Connection *connection) {
    (void)query(connection, "SET search_path = ''");
}

Rows query_table(Connection *connection, const char *sql) {
    if (!connection->own_search_path)
        return query(connection, sql);
    use_own_search_path(connection);
    Rows rows = query(connection, sql);
    use_no_search_path(connection);
    return rows;
}

void roll_back_to(Connection *connection, const char *savepoint) {
    drain(connection);
    (void)query(connection, psprintf("ROLLBACK TO SAVEPOINT %s", savepoint));
}

}  // namespace fastcopy::source
