#include "compare/session.hpp"

namespace fastcopy::compare {

namespace {

void set(const char *name, const char *value) {
    SetConfigOption(name, value, PGC_USERSET, PGC_S_SESSION);
}

}  // namespace

void normalise_here(bool own_search_path) {
    // As source::begin has it; or as source::use_own_search_path.
    const char *own = GetConfigOption("search_path", false, false);
    set("search_path", own_search_path
                           ? psprintf("pg_catalog%s%s, pg_temp", own[0] != '\0' ? ", " : "", own)
                           : "");
    set("intervalstyle", "postgres");
    set("bytea_output", "hex");
    set("standard_conforming_strings", "on");
    set("synchronize_seqscans", "off");
    set("row_security", "off");
    set("max_parallel_workers_per_gather", "0");
    set("jit", "off");
    // As normalise_source has it.
    set("timezone", "UTC");
    set("datestyle", "ISO, MDY");
    set("lc_monetary", "C");
    set("quote_all_identifiers", "off");
}

void normalise_source(source::Connection *connection) {
    (void)source::query(connection,
                        "SET timezone = 'UTC';"
                        "SET datestyle = 'ISO, MDY';"
                        "SET lc_monetary = 'C';"
                        "SET quote_all_identifiers = off");
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
