// The module: what PostgreSQL loads.
//
// The library is loaded by the first call of one of its functions, in sessions, coordinators and workers
// alike; nothing has to be preloaded, but auto-resume (api/auto_resume.hpp) is there only if it was. Start reading at api/start.cpp, then run/coordinator.cpp and
// run/worker.cpp; docs/architecture.md has the map.
#include "api/auto_resume.hpp"
#include "pg/postgres.hpp"
#include "settings.hpp"

extern "C" {

PG_MODULE_MAGIC;

PGDLLEXPORT void _PG_init(void);

void _PG_init(void) {
    fastcopy::settings::define();
    if (process_shared_preload_libraries_in_progress)
        fastcopy::api::register_launcher();
}
}
