// The extension's settings.
#ifndef FASTCOPY_SETTINGS_HPP
#define FASTCOPY_SETTINGS_HPP

namespace fastcopy::settings {

// fastcopy.chunk_size, in kB: how much of the source table, heap and TOAST, makes a chunk. 0: by
// the size of the table and the number of workers.
extern int chunk_size_kb;

// fastcopy.lz4_toast: whether workers compress large values with lz4 unless another method was
// chosen.
extern bool lz4_toast;

// fastcopy.retry_limit: the maximum number of retries of a chunk after a transient error.
extern int retry_limit;

// fastcopy.retry_delay, in ms: how long it waits before the first retry; then twice as long each
// time.
extern int retry_delay_ms;

// fastcopy.auto_resume: whether interrupted jobs are resumed after a restart, if the library is
// preloaded.
extern bool auto_resume;

// fastcopy.keep_jobs, in minutes: how long ended jobs are kept in the ledger. -1: for ever.
extern int keep_jobs_minutes;

void define();

}  // namespace fastcopy::settings

#endif
