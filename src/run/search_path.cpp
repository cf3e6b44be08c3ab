#include "run/search_path.hpp"

#include "plan/name_types.hpp"
#include "source/search_path.hpp"

namespace fastcopy::run::search_path {

void publish(job::Area *area, const source::Connection *connection) {
    pg_atomic_write_u32(&area->own_search_path, connection->own_search_path ? 1 : 0);
}

void adopt(job::Area *area, source::Connection *connection) {
    if (pg_atomic_read_u32(&area->own_search_path) == 0)
        return;
    source::use_own_search_path(connection);
    connection->own_search_path = true;
}

bool may_switch(job::Area *area, const source::Connection *connection, const plan::RowShape &shape,
                const ErrorData *error) {
    if (connection == nullptr || connection->own_search_path ||
        connection->last_error != error->sqlerrcode ||
        !source::is_unresolved_name(error->sqlerrcode) || plan::prints_names(shape))
        return false;
    pg_atomic_write_u32(&area->own_search_path, 1);
    return true;
}

}  // namespace fastcopy::run::search_path
