#include "pg/toast.hpp"

namespace fastcopy::pg {

#ifdef USE_LZ4

namespace {

bool is_at_its_default(const char *name) {
#if PG_VERSION_NUM >= 160000
    return find_option(name, false, false, ERROR)->source == PGC_S_DEFAULT;
#else
    config_generic **variables = get_guc_variables();
    int count = GetNumConfigOptions();
    for (int i = 0; i < count; i++) {
        if (strcmp(variables[i]->name, name) == 0)
            return variables[i]->source == PGC_S_DEFAULT;
    }
    return false;
#endif
}

}  // namespace

void prefer_lz4() {
    if (is_at_its_default("default_toast_compression"))
        SetConfigOption("default_toast_compression", "lz4", PGC_USERSET, PGC_S_SESSION);
}

#else

void prefer_lz4() {}

#endif

}  // namespace fastcopy::pg
