// The settings (GUCs) of a session, carried to another process.
//
// Core does this for parallel workers (SerializeGUCState, RestoreGUCState). Those bytes are good for a moment, in
// processes that share everything else; a job needs its settings again after a restart, perhaps in a session of
// another role. So they are carried as what they are: name and value as text, and with whose rights the value was set.
// The rights matter. A placeholder (a setting whose library is not loaded) may be set by anybody, and PostgreSQL
// asks once the library has defined it whether who set it was allowed to.
#ifndef FASTCOPY_PG_GUC_HPP
#define FASTCOPY_PG_GUC_HPP

#include "pg/postgres.hpp"

namespace fastcopy::pg {

struct Setting {
    const char *name;
    const char *value;
    GucContext context;  // what it was set as: "user", "superuser", ...
    Oid role;            // who set it
};

struct Settings {
    int count;
    Setting *settings;
    int libraries_size;
    const char *libraries;  // loaded in the session: paths, each with its zero; a zero ends them
};

// Lists the settings of this session that `wanted` accepts, out of those that a session can set.
// All of it is palloc'd.
Settings read_settings(bool (*wanted)(const config_generic *setting));

// The libraries that this session has loaded, added to the settings.
void read_libraries(Settings *settings);

// Loads the libraries into this process, in a transaction. Settings that they define come after them.
void load_libraries(const Settings &settings);

// Sets all of them in this process, in a transaction, unless they are set so. An ERROR for one that is not
// valid here.
void apply(const Settings &settings);

// The name of a context and the context of a name, for storing; an unknown name is that of a user.
const char *name_of(GucContext context);
GucContext to_context(const char *name);

}  // namespace fastcopy::pg

#endif
