#include "job/caller_settings.hpp"

namespace fastcopy::job {

namespace {

// Settings that a job sets itself, or that concern only the calling session or transaction.
constexpr const char *owned_by_job[] = {
    "application_name",
    "client_encoding",
    "default_transaction_deferrable",
    "default_transaction_isolation",
    "default_transaction_read_only",
    "exit_on_error",
    "idle_in_transaction_session_timeout",
    "idle_session_timeout",
    "lock_timeout",
    "maintenance_work_mem",
    "max_parallel_maintenance_workers",
    "role",
    "seed",
    "session_authorization",
    "statement_timeout",
    "synchronous_commit",
    "transaction_deferrable",
    "transaction_isolation",
    "transaction_read_only",
    "transaction_timeout",
};

// Settings that decide what a text means as a value, which function a name calls, and how values
// become text.
constexpr const char *deciding_values[] = {
    "array_nulls",
    "backslash_quote",
    "bytea_output",
    "DateStyle",
    "default_text_search_config",
    "extra_float_digits",
    "IntervalStyle",
    "lc_monetary",
    "lc_numeric",
    "lc_time",
    "quote_all_identifiers",
    "row_security",
    "search_path",
    "session_replication_role",
    "standard_conforming_strings",
    "TimeZone",
    "timezone_abbreviations",
    "transform_null_equals",
    "xmlbinary",
    "xmloption",
};

constexpr const char *our_prefix = "fastcopy.";  // the request has these

template <size_t count>
bool is_among(const char *const (&names)[count], const char *name) {
    for (const char *other : names) {
        if (pg_strcasecmp(other, name) == 0)
            return true;
    }
    return false;
}

bool is_callers(const config_generic *setting) {
    return !is_among(owned_by_job, setting->name) &&
           pg_strncasecmp(setting->name, our_prefix, strlen(our_prefix)) != 0;
}

bool is_set_or_deciding(const config_generic *setting) {
    return (setting->source >= PGC_S_GLOBAL || is_among(deciding_values, setting->name)) &&
           is_callers(setting);
}

bool is_triggers_choice(const char *name) {
    return strcmp(name, "session_replication_role") == 0;
}

}  // namespace

pg::Settings read_caller_settings(const pg::Identity &identity, bool triggers) {
    Oid authenticated = GetAuthenticatedUserId();
    if (!OidIsValid(authenticated))
        authenticated = GetSessionUserId();
    bool same_defaults = identity.role == authenticated && identity.login == authenticated;
    pg::Settings settings = pg::read_settings(same_defaults ? is_set_or_deciding : is_callers);
    if (!triggers) {
        int kept = 0;
        for (int i = 0; i < settings.count; i++) {
            if (!is_triggers_choice(settings.settings[i].name))
                settings.settings[kept++] = settings.settings[i];
        }
        settings.count = kept;
    }
    pg::read_libraries(&settings);
    return settings;
}

}  // namespace fastcopy::job
