#include "pg/error_report.hpp"

namespace fastcopy::pg {

namespace {

emit_log_hook_type previous_emit_log_hook = nullptr;
ErrorReport *watched_report = nullptr;
const int32 *watched_chunk = nullptr;
bool watch_terminations = true;

// Copies a possibly missing string into a fixed buffer, cut at a character boundary.
template <size_t size>
void copy_text(char (&buffer)[size], const char *text) noexcept {
    if (text == nullptr) {
        buffer[0] = '\0';
        return;
    }
    size_t length = strlen(text);
    if (length >= size)
        length = pg_mbcliplen(text, static_cast<int>(length), static_cast<int>(size - 1));
    memcpy(buffer, text, length);
    buffer[length] = '\0';
}

void record_fatal(ErrorData *error) noexcept {
    if (error->elevel >= FATAL && watched_report != nullptr) {
        if (watch_terminations || error->sqlerrcode != ERRCODE_ADMIN_SHUTDOWN)
            record(watched_report, error, *watched_chunk);
        // The process exits now: an error on the way out, of another extension, is fallout.
        watched_report = nullptr;
    }
    if (previous_emit_log_hook != nullptr)
        previous_emit_log_hook(error);
}

}  // namespace

void init(ErrorReport *report) {
    pg_atomic_init_u32(&report->state, ErrorReport::empty);
}

bool is_complete(ErrorReport *report) {
    bool complete = pg_atomic_read_u32(&report->state) == ErrorReport::complete;
    pg_read_barrier();
    return complete;
}

void record(ErrorReport *report, const ErrorData *error, int32 chunk) noexcept {
    uint32 expected = ErrorReport::empty;
    if (!pg_atomic_compare_exchange_u32(&report->state, &expected, ErrorReport::writing))
        return;
    report->sqlerrcode = error->sqlerrcode;
    report->chunk = chunk;
    copy_text(report->message, error->message);
    copy_text(report->detail, error->detail);
    copy_text(report->hint, error->hint);
    copy_text(report->context, error->context);
    pg_write_barrier();
    pg_atomic_write_u32(&report->state, ErrorReport::complete);
}

void raise(const ErrorReport *report, int elevel, const char *prefix_context) {
    ereport(elevel, (errcode(report->sqlerrcode), errmsg_internal("%s", report->message),
                     report->detail[0] != '\0' ? errdetail_internal("%s", report->detail) : 0,
                     report->hint[0] != '\0' ? errhint("%s", report->hint) : 0,
                     report->context[0] != '\0' ? errcontext("%s", report->context) : 0,
                     prefix_context != nullptr ? errcontext("%s", prefix_context) : 0));
}

void report_caught(int elevel, const ErrorData *error, const char *consequence) {
    ereport(elevel,
            (errcode(error->sqlerrcode), errmsg_internal("%s: %s", consequence, error->message),
             error->detail != nullptr ? errdetail_internal("%s", error->detail) : 0,
             error->hint != nullptr ? errhint("%s", error->hint) : 0));
}

void watch_fatal(ErrorReport *report, const int32 *chunk, bool terminations) {
    static bool hooked = false;
    if (!hooked) {
        previous_emit_log_hook = emit_log_hook;
        emit_log_hook = record_fatal;
        hooked = true;
    }
    watched_report = report;
    watched_chunk = chunk;
    watch_terminations = terminations;
}

}  // namespace fastcopy::pg
