#include "source/remote_error.hpp"

#include "source/encoding.hpp"

namespace fastcopy::source {

namespace {

// Longer texts of the source are cut.
constexpr int max_error_text = 8192;

// The SQLSTATE of an error field.
int to_sqlstate(const char *text) {
    if (text == nullptr || strlen(text) != 5)
        return ERRCODE_CONNECTION_FAILURE;
    int code = MAKE_SQLSTATE(text[0], text[1], text[2], text[3], text[4]);
    switch (ERRCODE_TO_CATEGORY(code)) {
        case ERRCODE_SUCCESSFUL_COMPLETION:
        case ERRCODE_WARNING:
        case ERRCODE_NO_DATA:
            return ERRCODE_PROTOCOL_VIOLATION;
        default:
            return code;
    }
}

// Copies a text of the source into the buffer, cut to its size and valid in this database's
// encoding: it may be in any encoding.
void copy_valid(char *buffer, size_t size, const char *text) {
    size_t length = strnlen(text, size);
    if (length >= size)
        length = pg_mbcliplen(text, static_cast<int>(length), static_cast<int>(size - 1));
    memcpy(buffer, text, length);
    buffer[length] = '\0';
    if (pg_verify_mbstr(GetDatabaseEncoding(), buffer, static_cast<int>(length), true))
        return;
    for (char *c = buffer; *c != '\0'; c++) {
        if (IS_HIGHBIT_SET(*c))
            *c = '?';
    }
}

}  // namespace

const char *valid_text(const char *text) {
    if (text == nullptr)
        return nullptr;
    auto *copy = static_cast<char *>(palloc(max_error_text));
    copy_valid(copy, max_error_text, text);
    return pchomp(copy);
}

void note_last_words(void *arg, const PGresult *result) {
    auto *connection = static_cast<Connection *>(arg);
    const char *severity = PQresultErrorField(result, PG_DIAG_SEVERITY_NONLOCALIZED);
    const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    if (severity == nullptr || message == nullptr ||
        (strcmp(severity, "FATAL") != 0 && strcmp(severity, "PANIC") != 0))
        return;
    connection->last_words_sqlstate = to_sqlstate(PQresultErrorField(result, PG_DIAG_SQLSTATE));
    copy_valid(connection->last_words, sizeof(connection->last_words), message);
}

void raise_remote_error(Connection *connection, PGresult *result, const char *sql) {
    int code = to_sqlstate(PQresultErrorField(result, PG_DIAG_SQLSTATE));
    const char *message = valid_text(PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY));
    const char *detail = valid_text(PQresultErrorField(result, PG_DIAG_MESSAGE_DETAIL));
    const char *hint = valid_text(PQresultErrorField(result, PG_DIAG_MESSAGE_HINT));
    if (hint == nullptr)
        hint = hint_for(connection, code);
    const char *context = valid_text(PQresultErrorField(result, PG_DIAG_CONTEXT));
    const char *connection_message = valid_text(PQerrorMessage(connection->conn));
    PQclear(result);
    connection->last_error = code;
    if (message == nullptr && connection->last_words[0] != '\0') {
        message = connection->last_words;
        code = connection->last_words_sqlstate;
    }

    // A result without a message field is libpq's own: the connection is lost.
    bool lost = message == nullptr;
    ereport(ERROR, (errcode(code),
                    lost ? errmsg("lost the connection to the source server")
                         : errmsg_internal("%s", message),
                    detail != nullptr ? errdetail_internal("%s", detail)
                    : lost && connection_message != nullptr && connection_message[0] != '\0'
                        ? errdetail_internal("%s", connection_message)
                        : 0,
                    hint != nullptr ? errhint("%s", hint) : 0,
                    context != nullptr ? errcontext("%s", context) : 0,
                    sql != nullptr ? errcontext("statement on the source: %s", sql) : 0));
}

}  // namespace fastcopy::source
