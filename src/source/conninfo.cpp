#include "source/conninfo.hpp"

#include "core/redact.hpp"

namespace fastcopy::source {

void append_option(StringInfo conninfo, const char *keyword, const char *value) {
    // To libpq, any white space ends a value that is not quoted, and another option may follow.
    bool quote = value[0] == '\0' || value[strcspn(value, " \t\n\r\v\f'\\")] != '\0';
    appendStringInfo(conninfo, "%s%s=%s", conninfo->len > 0 ? " " : "", keyword, quote ? "'" : "");
    for (const char *c = value; *c != '\0'; c++) {
        if (*c == '\'' || *c == '\\')
            appendStringInfoChar(conninfo, '\\');
        appendStringInfoChar(conninfo, *c);
    }
    appendStringInfoString(conninfo, quote ? "'" : "");
}

ProgramSource for_program(const char *source) {
    ProgramSource program{};
    char secret[64] = "";
    StringInfoData conninfo;
    initStringInfo(&conninfo);
    PQconninfoOption *options = PQconninfoParse(source, nullptr);
    for (PQconninfoOption *option = options; options != nullptr && option->keyword != nullptr;
         option++) {
        if (option->val == nullptr || option->val[0] == '\0')
            continue;
        if (strcmp(option->keyword, "password") == 0)
            program.password = pstrdup(option->val);
        else if (option->dispchar[0] == '*' || strncmp(option->keyword, "scram_", 6) == 0)
            strlcpy(secret, option->keyword, sizeof(secret));
        else
            append_option(&conninfo, option->keyword, option->val);
    }
    PQconninfoFree(options);
    if (secret[0] != '\0')
        ereport(ERROR,
                (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                 errmsg("connection option \"%s\" cannot be passed on to pg_dump", secret),
                 errhint("Create the tables first, with pg_dump --section=pre-data, and copy "
                         "into them with definitions => 'keep'.")));
    program.conninfo = conninfo.data;
    return program;
}

char *without_secrets(const char *source) {
    char *error = nullptr;
    PQconninfoOption *options = PQconninfoParse(source, &error);
    if (options == nullptr) {
        char *message = error != nullptr ? pchomp(error) : pstrdup("out of memory");
        PQfreemem(error);
        char shown[512];
        shown[core::redact(message, std::span<char>(shown, sizeof(shown) - 1))] = '\0';
        ereport(
            ERROR,
            (errcode(ERRCODE_SYNTAX_ERROR), errmsg("invalid connection string for the source"),
             errdetail_internal("%s", shown),
             errhint("Give keywords and values as in 'host=old dbname=shop', or a postgresql:// "
                     "URI.")));
    }

    StringInfoData safe;
    initStringInfo(&safe);
    for (PQconninfoOption *option = options; option->keyword != nullptr; option++) {
        // libpq marks passwords with "*", and options for its own use with "D", some of which are
        // as good as a password.
        if (option->val == nullptr || option->val[0] == '\0' || option->dispchar[0] == '*' ||
            option->dispchar[0] == 'D')
            continue;
        append_option(&safe, option->keyword, option->val);
    }
    PQconninfoFree(options);
    return safe.data;
}

}  // namespace fastcopy::source
