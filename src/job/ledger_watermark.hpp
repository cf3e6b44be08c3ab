// For ledger.cpp only.
#ifndef FASTCOPY_JOB_LEDGER_WATERMARK_HPP
#define FASTCOPY_JOB_LEDGER_WATERMARK_HPP

#include "pg/postgres.hpp"

namespace fastcopy::job::ledger {

// Makes the watermark that a run of fastcopy.sync was to reach the one that is reached; no-op for
// other jobs. Within a session, in the transaction that marks the job done.
void advance_watermark(int64 job);

}  // namespace fastcopy::job::ledger

#endif
