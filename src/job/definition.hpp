// A definition that the crew makes once all rows are in: of an index that the job has set aside, or
// of an object of the source that fastcopy.clone creates here.
#ifndef FASTCOPY_JOB_DEFINITION_HPP
#define FASTCOPY_JOB_DEFINITION_HPP

#include "pg/postgres.hpp"

namespace fastcopy::job {

// All definitions of a stage are made before any of the next. The ledger has the numbers.
enum class Stage : int32 {
    none = 0,
    tables = 1,        // indexes, and constraints of a table by itself
    attachments = 2,   // of indexes to those of partitioned tables
    statistics = 3,    // those of the source
    foreign_keys = 4,  // not valid yet
    validations = 5,   // of these
    rest = 6,          // triggers, policies, materialized views, sequences, ...
};

// Whether workers make the stage's definitions side by side; otherwise one makes them in order.
constexpr bool is_parallel(Stage stage) {
    return stage == Stage::tables || stage == Stage::validations || stage == Stage::statistics;
}

struct Definition {
    Oid index;         // to be rebuilt; InvalidOid: `sql` makes it
    const char *kind;  // in pg_dump's words
    const char *name;  // for users
    const char *sql;
    Stage stage;
    int32 table;  // of the job, by number; 0: of none
};

}  // namespace fastcopy::job

#endif
