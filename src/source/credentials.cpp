#include "source/credentials.hpp"

#include <initializer_list>

namespace fastcopy::source {

bool is_for_superusers(const char *keyword) {
    for (const char *option :
         {"passfile", "service", "servicefile", "sslcert", "sslkey", "sslkeylogfile", "krbsrvname",
          "gsslib", "gssdelegation", "oauth_client_secret"}) {
        if (strcmp(keyword, option) == 0)
            return true;
    }
    return false;
}

Trust trust_in(Oid role) {
    return superuser_arg(role) ? Trust::superuser : Trust::own_password_only;
}

void check_source_string(const char *source, Trust trust) {
    if (trust == Trust::superuser)
        return;
    PQconninfoOption *options = PQconninfoParse(source, nullptr);
    if (options == nullptr)
        ereport(ERROR, (errcode(ERRCODE_SYNTAX_ERROR),
                        errmsg("invalid connection string for the source")));
    bool has_password = false;
    char refused[64] = "";
    for (PQconninfoOption *option = options; option->keyword != nullptr; option++) {
        if (option->val == nullptr || option->val[0] == '\0')
            continue;
        if (strcmp(option->keyword, "password") == 0)
            has_password = true;
        if (is_for_superusers(option->keyword))
            strlcpy(refused, option->keyword, sizeof(refused));
    }
    PQconninfoFree(options);

    if (refused[0] != '\0')
        ereport(ERROR,
                (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
                 errmsg("connection option \"%s\" is superuser-only", refused),
                 errdetail("The option uses files or credentials of the server's account.")));
    if (!has_password)
        ereport(
            ERROR,
            (errcode(ERRCODE_S_R_E_PROHIBITED_SQL_STATEMENT_ATTEMPTED),
             errmsg("password is required"),
             errdetail("Non-superusers must provide a password in the connection string or in the "
                       "user mapping.")));
}

bool used_own_credentials(PGconn *conn, Trust trust) {
    return trust == Trust::superuser || PQconnectionUsedPassword(conn);
}

}  // namespace fastcopy::source
