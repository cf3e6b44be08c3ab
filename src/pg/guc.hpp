// The settings (GUCs) of a session, carried to another process.
//
// Core does this for parallel workers (SerializeGUCState, RestoreGUCState), with bytes that are
// only valid at that moment and in such processes; a job needs its settings again after a restart,
// perhaps in a session of another role. So they are carried as text: name, value, and the
// privileges with which the value was set. The privileges matter: any role may set a placeholder (a
// setting whose library is not loaded), and PostgreSQL checks, once the library has defined it,
// whether the role that set it was allowed to.
#ifndef FASTCOPY_PG_GUC_HPP
#define FASTCOPY_PG_GUC_HPP

#include "pg/postgres.hpp"

namespace fastcopy::pg {

struct Setting {
    const char *name;
    const char *value;
    GucContext context;  // what it was set as: "user", "superuser", ...
    Oid role;            // that has set it
};

struct Settings {
    int count;
    Setting *settings;
    int libraries_size;
    const char *libraries;  // loaded in the session: null-terminated paths, ended by an empty one
};

// Called by a library that has defined its settings: it reserves their prefix.
void reserve_prefix(const char *prefix);

// Lists the settings of this session that `wanted` accepts, out of those that a session can set.
// All of it is palloc'd.
Settings read_settings(bool (*wanted)(const config_generic *setting));

// The libraries that this session has loaded, added to the settings.
void read_libraries(Settings *settings);

// Loads the libraries into this process, in a transaction. Settings that they define come after
// them.
void load_libraries(const Settings &settings);

// Sets all of them in this process, in a transaction, unless they are set so. An ERROR for one that
// is not valid here.
void apply(const Settings &settings);

// The name of a context and the context of a name, for storing; an unknown name is that of a user.
const char *name_of(GucContext context);
GucContext to_context(const char *name);

}  // namespace fastcopy::pg

#endif
