#include "sink/definition_sql.hpp"

#include "sink/local_sql.hpp"
#include "sink/partitioned_key.hpp"

namespace fastcopy::sink {

namespace {

struct Setting {
    const char *name;
    const char *value;
};

// Those of pg_dump's preamble that change what definitions mean, and the defaults of those that it
// sets within.
constexpr Setting settings[] = {
    {"search_path", ""},
    {"quote_all_identifiers", "off"},
    {"standard_conforming_strings", "on"},
    {"check_function_bodies", "off"},
    {"xmloption", "content"},
    {"client_min_messages", "warning"},
    {"row_security", "off"},
    {"lock_timeout", "0"},
    {"default_tablespace", ""},
    {"default_table_access_method", "heap"},
};

struct Object {
    const char *kind;
    const char *name;
};

void add_context(void *argument) {
    auto *object = static_cast<Object *>(argument);
    errcontext("definition of %s %s of the source", object->kind, object->name);
}

}  // namespace

int begin_definitions() {
    int nest_level = NewGUCNestLevel();
    for (const Setting &setting : settings)
        (void)set_config_option(setting.name, setting.value, PGC_USERSET, PGC_S_SESSION,
                                GUC_ACTION_SAVE, true, 0, false);
    return nest_level;
}

void end_definitions(int nest_level) {
    AtEOXact_GUC(true, nest_level);
}

void run_definition(const char *kind, const char *name, const char *sql) {
    Object object{kind, name};
    ErrorContextCallback callback{error_context_stack, add_context, &object};
    error_context_stack = &callback;
    bool is_key = strcmp(kind, "FK CONSTRAINT") == 0 && add_partitioned_key(sql);
    bool is_validation = strcmp(kind, "VALIDATION") == 0 && validate_partitioned_key(sql);
    if (!is_key && !is_validation)
        run_local(sql);
    error_context_stack = callback.previous;
}

}  // namespace fastcopy::sink
