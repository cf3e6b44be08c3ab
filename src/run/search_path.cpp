#include "run/search_path.hpp"

#include "source/search_path.hpp"

namespace fastcopy::run::search_path {

void publish(job::Area *area, const source::Connection *connection, bool fixed) {
    Path path = connection->own_search_path ? Path::own : fixed ? Path::always_empty : Path::empty;
    pg_atomic_write_u32(&area->search_path, static_cast<uint32>(path));
}

void adopt(job::Area *area, source::Connection *connection) {
    if (pg_atomic_read_u32(&area->search_path) != static_cast<uint32>(Path::own))
        return;
    source::use_own_search_path(connection);
    connection->own_search_path = true;
}

bool may_switch(job::Area *area, job::JobSlot *slot, const source::Connection *connection,
                const ErrorData *error) {
    if (connection == nullptr || connection->own_search_path ||
        connection->last_error != error->sqlerrcode ||
        !source::is_unresolved_name(error->sqlerrcode))
        return false;
    if (area->filtered && pg_atomic_read_u32(&slot->chunks_done) > area->done_before)
        return false;
    auto path = static_cast<uint32>(Path::empty);
    (void)pg_atomic_compare_exchange_u32(&area->search_path, &path, static_cast<uint32>(Path::own));
    return path != static_cast<uint32>(Path::always_empty);
}

}  // namespace fastcopy::run::search_path
