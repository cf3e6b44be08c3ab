#include "compare/session.hpp"

#include "source/session.hpp"

namespace fastcopy::compare {

namespace {

void set(const char *name, const char *value) {
    SetConfigOption(name, value, PGC_USERSET, PGC_S_SESSION);
}

}  // namespace

void normalize_here(bool own_search_path) {
    const char *own = GetConfigOption("search_path", false, false);
    set("search_path", own_search_path
                           ? psprintf("pg_catalog%s%s, pg_temp", own[0] != '\0' ? ", " : "", own)
                           : "");
    source::normalize_here_for_comparison();
}

void set_float_digits(source::Connection *connection, int digits) {
    const char *text = psprintf("%d", digits);
    set("extra_float_digits", text);
    (void)source::query(connection, psprintf("SET extra_float_digits = %s", text));
}

void allow_sequential_scans_here(bool allow) {
    set("enable_seqscan", allow ? "on" : "off");
}

}  // namespace fastcopy::compare
