#include "settings.hpp"
#include "pg/postgres.hpp"

namespace fastcopy::settings {

int chunk_size_kb = 0;
bool lz4_toast = true;
int retry_limit = 5;
int retry_delay_ms = 1000;
bool auto_resume = true;

void define() {
    DefineCustomIntVariable(
        "fastcopy.chunk_size", "Sets how much of a source table one chunk copies.",
        "Zero chooses by the size of the table and the number of workers.", &chunk_size_kb, 0, 0,
        MAX_KILOBYTES, PGC_USERSET, GUC_UNIT_KB, nullptr, nullptr, nullptr);
    DefineCustomBoolVariable(
        "fastcopy.lz4_toast", "Compresses large values with lz4 where nothing else was chosen.",
        "A column's COMPRESSION and any setting of default_toast_compression win.", &lz4_toast,
        true, PGC_USERSET, 0, nullptr, nullptr, nullptr);
    DefineCustomIntVariable(
        "fastcopy.retry_limit",
        "Sets how often a chunk is retried after an error that passes by itself.", nullptr,
        &retry_limit, 5, 0, 1000, PGC_USERSET, 0, nullptr, nullptr, nullptr);
    DefineCustomIntVariable("fastcopy.retry_delay",
                            "Sets how long to wait before the first retry; it doubles with each.",
                            nullptr, &retry_delay_ms, 1000, 1, 60000, PGC_USERSET, GUC_UNIT_MS,
                            nullptr, nullptr, nullptr);
    DefineCustomBoolVariable(
        "fastcopy.auto_resume", "Resumes interrupted jobs after a restart of the server.",
        "It takes effect when pg_fastcopy is in shared_preload_libraries, on jobs whose source is "
        "a foreign server.",
        &auto_resume, true, PGC_SIGHUP, 0, nullptr, nullptr, nullptr);
    MarkGUCPrefixReserved("fastcopy");
}

}  // namespace fastcopy::settings
