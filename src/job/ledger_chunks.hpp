// The ledger's rows of chunks, for the other ledger*.cpp files.
#ifndef FASTCOPY_JOB_LEDGER_CHUNKS_HPP
#define FASTCOPY_JOB_LEDGER_CHUNKS_HPP

#include "job/ledger.hpp"

namespace fastcopy::job::ledger {

// Inserts the rows of a job's chunks, within a session.
void add_chunks(int64 job, const plan::Chunk *chunks, int count);

}  // namespace fastcopy::job::ledger

#endif
