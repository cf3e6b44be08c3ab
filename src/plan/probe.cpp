#include "plan/probe.hpp"

#include "source/search_path.hpp"

namespace fastcopy::plan {

namespace {

constexpr const char *savepoint = "fastcopy_probe";

// Probes within a savepoint. False, with the savepoint rolled back to, if a name was not found that
// the role's own search_path may find.
bool try_to_probe(source::Connection *connection, const SourceTable &table, const RowShape &shape,
                  bool fixed_path) {
    MemoryContext context = CurrentMemoryContext;
    volatile bool done = false;
    (void)source::query(connection, psprintf("SAVEPOINT %s", savepoint));
    PG_TRY();
    {
        probe(connection, table, shape);
        done = true;
    }
    PG_CATCH();
    {
        MemoryContextSwitchTo(context);
        ErrorData *error = CopyErrorData();
        if (!source::is_unresolved_name(error->sqlerrcode) ||
            connection->last_error != error->sqlerrcode || fixed_path)
            PG_RE_THROW();
        FlushErrorState();
        FreeErrorData(error);
        source::roll_back_to(connection, savepoint);
    }
    PG_END_TRY();
    return done;
}

}  // namespace

void probe(source::Connection *connection, const SourceTable &table, const RowShape &shape) {
    Chunk all{};
    all.relation = table.name;
    all.kind = Kind::whole;
    char *select = psprintf("%s LIMIT 0", select_statement(all, shape));
    if (shape.filter != nullptr) {
        if (connection->own_search_path)
            source::use_own_search_path(connection);
        source::check_syntax(connection,
                             psprintf("SELECT FROM %s WHERE %s\n", table.name, shape.filter));
        source::check_syntax(connection, select);
    }
    (void)source::query_table(connection, select);
}

void probe_by_any_path(source::Connection *connection, const SourceTable &table,
                       const RowShape &shape, bool fixed_path) {
    if (!try_to_probe(connection, table, shape, fixed_path)) {
        connection->own_search_path = true;
        probe(connection, table, shape);
    }
    (void)source::query(connection, psprintf("RELEASE SAVEPOINT %s", savepoint));
}

}  // namespace fastcopy::plan
