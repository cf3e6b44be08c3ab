#include "plan/probe.hpp"

namespace fastcopy::plan {

void probe(source::Connection *connection, const SourceTable &table, const RowShape &shape) {
    Chunk all{};
    all.relation = table.name;
    all.kind = Kind::whole;
    char *select = psprintf("%s LIMIT 0", select_statement(all, shape));
    if (shape.filter != nullptr) {
        source::check_syntax(connection,
                             psprintf("SELECT FROM %s WHERE %s\n", table.name, shape.filter));
        source::check_syntax(connection, select);
    }
    (void)source::query(connection, select);
}

}  // namespace fastcopy::plan
