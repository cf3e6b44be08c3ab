// The magic block, which makes a shared object a module of PostgreSQL.
#ifndef FASTCOPY_PG_MODULE_HPP
#define FASTCOPY_PG_MODULE_HPP

#include "pg/postgres.hpp"

// The magic block, once in the module. From version 18 on pg_get_loaded_modules() shows name and
// version.
#if PG_VERSION_NUM >= 180000
#define FASTCOPY_MODULE_MAGIC(name_, version_) \
    PG_MODULE_MAGIC_EXT(.name = name_, .version = version_)
#else
#define FASTCOPY_MODULE_MAGIC(name_, version_) PG_MODULE_MAGIC
#endif

#endif
