// The module: what PostgreSQL loads.
//
// The library is loaded by the first call of one of its functions, in sessions, coordinators and
// workers alike. It need not be preloaded; only auto-resume (api/auto_resume.hpp) requires that.
// Start reading at api/start.cpp, then run/coordinator.cpp and run/worker.cpp; docs/architecture.md
// has the map.
#include "pg/module.hpp"
#include "api/auto_resume.hpp"
#include "settings.hpp"
#include "version.hpp"

extern "C" {

FASTCOPY_MODULE_MAGIC("pg_fastcopy", FASTCOPY_VERSION);

PGDLLEXPORT void _PG_init(void);

void _PG_init(void) {
    fastcopy::settings::define();
    if (process_shared_preload_libraries_in_progress)
        fastcopy::api::register_launcher();
}
}
