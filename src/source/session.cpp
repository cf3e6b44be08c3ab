#include "source/session.hpp"

namespace fastcopy::source {

namespace {

enum class For {
    source,      // sessions on the source
    both,        // likewise, and a comparison's own sessions
    comparison,  // both sides of a comparison
};

struct Setting {
    const char *name;
    const char *value;
    For sessions;
    int since = 0;  // the first version that has the setting
};

constexpr Setting settings[] = {
    {"search_path", "", For::source},
    {"datestyle", "ISO", For::source},
    {"intervalstyle", "postgres", For::both},
    {"bytea_output", "hex", For::both},
    {"standard_conforming_strings", "on", For::both},
    {"synchronize_seqscans", "off", For::both},
    {"extra_float_digits", "3", For::source},
    {"statement_timeout", "0", For::source},
    {"lock_timeout", "0", For::source},
    {"row_security", "off", For::both},
    {"idle_in_transaction_session_timeout", "0", For::source},
    {"max_parallel_workers_per_gather", "0", For::both},
    {"jit", "off", For::both, 110000},
    {"idle_session_timeout", "0", For::source, 140000},
    {"transaction_timeout", "0", For::source, 170000},
    {"timezone", "UTC", For::comparison},
    {"datestyle", "ISO, MDY", For::comparison},
    {"lc_monetary", "C", For::comparison},
    {"quote_all_identifiers", "off", For::comparison},
};

// SET statements, not the connection option "options": poolers reject that.
void apply(Connection *connection, bool comparison) {
    StringInfoData sql;
    initStringInfo(&sql);
    for (const Setting &setting : settings) {
        if ((setting.sessions == For::comparison) == comparison &&
            server_version(connection) >= setting.since)
            appendStringInfo(&sql, "SET %s = '%s';", setting.name, setting.value);
    }
    (void)query(connection, sql.data);
}

}  // namespace

void begin(Connection *connection) {
    (void)query(connection, "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY");
    apply(connection, false);
}

void normalize_for_comparison(Connection *connection) {
    apply(connection, true);
}

void normalize_here_for_comparison() {
    for (const Setting &setting : settings) {
        if (setting.sessions != For::source)
            SetConfigOption(setting.name, setting.value, PGC_USERSET, PGC_S_SESSION);
    }
}

bool is_missing_snapshot(int sqlerrcode) {
    // Up to version 16, from version 17 on, and if the transaction that exported it has just ended.
    return sqlerrcode == ERRCODE_INVALID_PARAMETER_VALUE ||
           sqlerrcode == ERRCODE_UNDEFINED_OBJECT ||
           sqlerrcode == ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE;
}

void notice_vanished_client(Connection *connection) {
    // Platforms that cannot check reject the setting.
    if (server_version(connection) >= 140000) {
        (void)query(connection,
                    "SELECT pg_catalog.set_config('client_connection_check_interval', '1s', false)"
                    " WHERE pg_catalog.version() OPERATOR(pg_catalog.~) 'linux|darwin|apple'");
    }
}

}  // namespace fastcopy::source
