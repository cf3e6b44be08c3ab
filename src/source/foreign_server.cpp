#include "source/foreign_server.hpp"

#include "pg/acl.hpp"
#include "source/conninfo.hpp"

namespace fastcopy::source {

namespace {

// The options of libpq with their compiled-in defaults; allocated once per process.
const PQconninfoOption *libpq_options() {
    static PQconninfoOption *options = nullptr;
    if (options == nullptr)
        options = PQconndefaults();
    if (options == nullptr)
        ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
    return options;
}

void append_options(StringInfo conninfo, List *options) {
    ListCell *cell;
    foreach (cell, options) {
        auto *option = static_cast<DefElem *>(lfirst(cell));
        if (is_libpq_option(option->defname))
            append_option(conninfo, option->defname, defGetString(option));
    }
}

// Whether the wrapper's validator lets only superusers waive the password.
bool guards_password_required(const ForeignDataWrapper *wrapper) {
    return superuser_arg(wrapper->owner) && OidIsValid(wrapper->fdwvalidator) &&
           (strcmp(wrapper->fdwname, "pg_fastcopy") == 0 ||
            strcmp(wrapper->fdwname, "postgres_fdw") == 0);
}

bool waives_password(const UserMapping *mapping) {
    ListCell *cell;
    foreach (cell, mapping->options) {
        auto *option = static_cast<DefElem *>(lfirst(cell));
        if (strcmp(option->defname, "password_required") == 0)
            return !defGetBoolean(option);
    }
    return false;
}

}  // namespace

bool is_server_name(const char *source) {
    return strchr(source, '=') == nullptr && strstr(source, "://") == nullptr &&
           source[0] != '\0' && strspn(source, " \t\r\n") != strlen(source);
}

bool is_libpq_option(const char *keyword) {
    // The job sets these itself.
    if (strcmp(keyword, "client_encoding") == 0 || strcmp(keyword, "application_name") == 0 ||
        strcmp(keyword, "fallback_application_name") == 0 || strcmp(keyword, "replication") == 0)
        return false;
    for (const PQconninfoOption *option = libpq_options(); option->keyword != nullptr; option++) {
        if (strcmp(option->keyword, keyword) == 0)
            return option->dispchar[0] != 'D';
    }
    return false;
}

bool is_mapping_option(const char *keyword) {
    for (const PQconninfoOption *option = libpq_options(); option->keyword != nullptr; option++) {
        if (strcmp(option->keyword, keyword) == 0)
            return option->dispchar[0] == '*' || strcmp(keyword, "user") == 0 ||
                   strcmp(keyword, "sslcert") == 0 || strcmp(keyword, "sslkey") == 0;
    }
    return false;
}

ServerSource resolve_server(const char *name) {
    ForeignServer *server = GetForeignServerByName(name, true);
    if (server == nullptr)
        ereport(ERROR,
                (errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("server \"%s\" does not exist", name),
                 errhint("A source is a connection string as in 'host=old dbname=shop', a "
                         "postgresql:// URI, or the name of a foreign server.")));
    Oid role = GetUserId();
    AclResult access = pg::check_foreign_server(server->serverid, role, ACL_USAGE);
    if (access != ACLCHECK_OK)
        aclcheck_error(access, OBJECT_FOREIGN_SERVER, server->servername);
    UserMapping *mapping = GetUserMapping(role, server->serverid);
    ForeignDataWrapper *wrapper = GetForeignDataWrapper(server->fdwid);

    StringInfoData conninfo;
    initStringInfo(&conninfo);
    append_options(&conninfo, wrapper->options);
    append_options(&conninfo, server->options);
    append_options(&conninfo, mapping->options);

    Trust trust = trust_in(role);
    if (trust == Trust::own_password_only && guards_password_required(wrapper) &&
        waives_password(mapping))
        trust = Trust::superuser;
    return ServerSource{conninfo.data, trust};
}

}  // namespace fastcopy::source
