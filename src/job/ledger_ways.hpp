// The ledger of how a job's tables are read and written.
#ifndef FASTCOPY_JOB_LEDGER_WAYS_HPP
#define FASTCOPY_JOB_LEDGER_WAYS_HPP

#include "pg/postgres.hpp"

namespace fastcopy::job::ledger {

struct Ways {
    const char *reader;  // 'leaves' or 'table'
    const char *reader_reason;
    const char *writer;  // 'copy' or 'insert'
    const char *writer_reason;
    const char *warning;  // what start has warned of; nullptr: no warning
};

// Updates the ways in a table's row; without a reader, the former one is kept.
void note_ways(int64 job, int32 table, const Ways &ways);

// The relations of a table from which chunks that are not done will be read with ONLY, palloc'd.
const char **read_only_relations(int64 job, int32 table, int *count);

}  // namespace fastcopy::job::ledger

#endif
