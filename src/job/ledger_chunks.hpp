// The ledger's rows of chunks, for the other ledger*.cpp files.
#ifndef FASTCOPY_JOB_LEDGER_CHUNKS_HPP
#define FASTCOPY_JOB_LEDGER_CHUNKS_HPP

#include "job/ledger.hpp"

namespace fastcopy::job::ledger {

// The columns of fastcopy.job_table that to_table_row reads from a row of the last answer. What it
// returns is palloc'd in the context.
#define TABLE_COLUMNS                                                                     \
    "source_table, target_table, target::int8, columns, filter, format, column_types,"    \
    " coalesce(as_written, array_fill(true, ARRAY[cardinality(columns)])) AS as_written," \
    " text_because, target_files, chunks::int8"
TableRow to_table_row(uint64 result_row, MemoryContext context);

// Inserts the rows of a job's chunks, within a session.
void add_chunks(int64 job, const plan::Chunk *chunks, int count);

}  // namespace fastcopy::job::ledger

#endif
