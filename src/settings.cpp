#include "settings.hpp"
#include "pg/guc.hpp"

namespace fastcopy::settings {

int chunk_size_kb = 0;
bool lz4_toast = true;
int retry_limit = 5;
int retry_delay_ms = 1000;
bool auto_resume = true;
int keep_jobs_minutes = 30 * 24 * 60;

void define() {
    DefineCustomIntVariable(
        "fastcopy.chunk_size", "Sets the size of the chunks that a source table is copied in.",
        "Zero chooses a size by that of the table and the number of workers.", &chunk_size_kb, 0, 0,
        MAX_KILOBYTES, PGC_USERSET, GUC_UNIT_KB, nullptr, nullptr, nullptr);
    DefineCustomBoolVariable(
        "fastcopy.lz4_toast", "Compresses large values with lz4 unless another method was chosen.",
        "A column's COMPRESSION and any setting of default_toast_compression take precedence.",
        &lz4_toast, true, PGC_USERSET, 0, nullptr, nullptr, nullptr);
    DefineCustomIntVariable(
        "fastcopy.retry_limit",
        "Sets the maximum number of retries of a chunk after a transient error.", nullptr,
        &retry_limit, 5, 0, 1000, PGC_USERSET, 0, nullptr, nullptr, nullptr);
    DefineCustomIntVariable(
        "fastcopy.retry_delay",
        "Sets the time to wait before the first retry; it doubles with each retry.", nullptr,
        &retry_delay_ms, 1000, 1, 60000, PGC_USERSET, GUC_UNIT_MS, nullptr, nullptr, nullptr);
    DefineCustomBoolVariable("fastcopy.auto_resume",
                             "Resumes interrupted jobs after a restart of the server.",
                             "This requires pg_fastcopy in shared_preload_libraries, and applies "
                             "to jobs whose source is "
                             "a foreign server.",
                             &auto_resume, true, PGC_SIGHUP, 0, nullptr, nullptr, nullptr);
    DefineCustomIntVariable(
        "fastcopy.keep_jobs", "Sets how long ended jobs are kept in the ledger.",
        "-1 keeps them until fastcopy.forget() removes them.", &keep_jobs_minutes, 30 * 24 * 60, -1,
        INT_MAX, PGC_SIGHUP, GUC_UNIT_MIN, nullptr, nullptr, nullptr);
    pg::reserve_prefix("fastcopy");
}

}  // namespace fastcopy::settings
