#include "pg/guc.hpp"

namespace fastcopy::pg {

namespace {

config_generic **all_variables(int *count) {
#if PG_VERSION_NUM >= 160000
    return get_guc_variables(count);
#else
    *count = GetNumConfigOptions();
    return get_guc_variables();
#endif
}

// What a setting has besides what all have: a member of a union from version 19 on, before, the rest
// of a structure that starts with what all have.
template <class Typed>
const Typed *as(const config_generic *setting) {
#if PG_VERSION_NUM >= 190000
    return reinterpret_cast<const Typed *>(&setting->_bool);
#else
    return reinterpret_cast<const Typed *>(setting);
#endif
}

const char *label_of(const config_generic *setting) {
    int value = *as<config_enum>(setting)->variable;
#if PG_VERSION_NUM >= 190000
    return config_enum_lookup_by_value(setting, value);
#else
    return config_enum_lookup_by_value(const_cast<config_enum *>(as<config_enum>(setting)), value);
#endif
}

// The value as core serializes it: exact, and valid as input. SHOW would add units and round.
const char *value_of(const config_generic *setting) {
    constexpr int all_digits = 17;
    switch (setting->vartype) {
        case PGC_BOOL:
            return *as<config_bool>(setting)->variable ? "on" : "off";
        case PGC_INT:
            return psprintf("%d", *as<config_int>(setting)->variable);
        case PGC_REAL:
            return psprintf("%.*g", all_digits, *as<config_real>(setting)->variable);
        case PGC_STRING: {
            const char *value = *as<config_string>(setting)->variable;
            return value != nullptr ? pstrdup(value) : "";
        }
        case PGC_ENUM:
            return label_of(setting);
    }
    pg_unreachable();
}

// The role that has set it. PostgreSQL 14 does not keep it, and checks no privileges later.
Oid role_of(const config_generic *setting) {
#if PG_VERSION_NUM >= 150000
    return setting->srole;
#else
    (void)setting;
    return GetUserId();
#endif
}

void set(const Setting &setting) {
#if PG_VERSION_NUM >= 150000
    (void)set_config_option_ext(setting.name, setting.value, setting.context, PGC_S_SESSION,
                                setting.role, GUC_ACTION_SET, true, ERROR, false);
#else
    (void)set_config_option(setting.name, setting.value, setting.context, PGC_S_SESSION,
                            GUC_ACTION_SET, true, ERROR, false);
#endif
}

void add_setting_context(void *name) {
    errcontext("while taking on the setting \"%s\" of the calling session",
               static_cast<const char *>(name));
}

// The library of JIT is loaded on demand, and defines no settings.
bool is_needed(const char *path) {
    const char *slash = last_dir_separator(path);
    const char *file = slash != nullptr ? slash + 1 : path;
    return strncmp(file, "llvmjit", strlen("llvmjit")) != 0 &&
           strncmp(file, "pg_fastcopy", strlen("pg_fastcopy")) != 0;
}

}  // namespace

void reserve_prefix(const char *prefix) {
#if PG_VERSION_NUM >= 150000
    MarkGUCPrefixReserved(prefix);
#else
    EmitWarningsOnPlaceholders(prefix);
#endif
}

Settings read_settings(bool (*wanted)(const config_generic *setting)) {
    int count;
    config_generic **variables = all_variables(&count);
    Settings all{};
    all.settings = static_cast<Setting *>(palloc(sizeof(Setting) * Max(count, 1)));
    for (int i = 0; i < count; i++) {
        config_generic *setting = variables[i];
        if ((setting->context != PGC_USERSET && setting->context != PGC_SUSET) || !wanted(setting))
            continue;
        all.settings[all.count++] =
            Setting{pstrdup(setting->name), value_of(setting), setting->scontext, role_of(setting)};
    }
    return all;
}

void read_libraries(Settings *settings) {
    Size size = EstimateLibraryStateSpace();
    auto *paths = static_cast<char *>(palloc0(size));
    SerializeLibraryState(size, paths);
    auto *needed = static_cast<char *>(palloc0(size));
    char *end = needed;
    for (const char *path = paths; *path != '\0'; path += strlen(path) + 1) {
        if (!is_needed(path))
            continue;
        strcpy(end, path);
        end += strlen(path) + 1;
    }
    settings->libraries = needed;
    settings->libraries_size = static_cast<int>(end - needed) + 1;
    pfree(paths);
}

void load_libraries(const Settings &settings) {
    if (settings.libraries_size > 1)
        RestoreLibraryState(const_cast<char *>(settings.libraries));
}

void apply(const Settings &settings) {
    for (int i = 0; i < settings.count; i++) {
        const Setting &setting = settings.settings[i];
        // Setting some of them is expensive: that of time zone abbreviations reads a file.
        const char *now = GetConfigOption(setting.name, true, false);
        if (now != nullptr && strcmp(now, setting.value) == 0)
            continue;
        ErrorContextCallback callback{error_context_stack, add_setting_context,
                                      const_cast<char *>(setting.name)};
        error_context_stack = &callback;
        set(setting);
        error_context_stack = callback.previous;
    }
}

const char *name_of(GucContext context) {
    return GucContext_Names[context];
}

GucContext to_context(const char *name) {
    for (int context = PGC_INTERNAL; context <= PGC_USERSET; context++) {
        if (strcmp(name, GucContext_Names[context]) == 0)
            return static_cast<GucContext>(context);
    }
    return PGC_USERSET;
}

}  // namespace fastcopy::pg
