#include "source/encoding.hpp"

namespace fastcopy::source {

namespace {

// The name of the encoding of the source's database, as the server reports it.
const char *server_encoding(const Connection *connection) {
    const char *name = parameter(connection, "server_encoding");
    return name != nullptr ? name : "";
}

bool is_sql_ascii(const Connection *connection) {
    return pg_char_to_encoding(server_encoding(connection)) == PG_SQL_ASCII;
}

// ASCII needs no conversion in any encoding that a database can have.
bool has_high_bytes(const char *text) {
    for (const char *c = text; *c != '\0'; c++) {
        if (IS_HIGHBIT_SET(*c))
            return true;
    }
    return false;
}

bool needs_conversion(const Connection *connection, const char *text) {
    return connection->encoding >= 0 && has_high_bytes(text);
}

// Looks the conversion up, in a transaction of its own if none is in progress: workers connect
// outside of one.
const char *convert(const Connection *connection, const char *text,
                    char *(*conversion)(const char *text, int length, int encoding)) {
    if (!needs_conversion(connection, text))
        return text;
    MemoryContext context = CurrentMemoryContext;
    bool own_transaction = !IsTransactionState();
    if (own_transaction) {
        StartTransactionCommand();
        MemoryContextSwitchTo(context);
    }
    const char *converted = conversion(text, static_cast<int>(strlen(text)), connection->encoding);
    if (own_transaction) {
        CommitTransactionCommand();
        MemoryContextSwitchTo(context);
    }
    return converted;
}

}  // namespace

void check_source_encoding(const Connection *connection) {
    if (is_sql_ascii(connection))
        return;
    const char *name = server_encoding(connection);
    bool known = pg_char_to_encoding(name) >= 0;
    ereport(ERROR,
            (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
             errmsg("argument \"source_encoding\" can be given for a SQL_ASCII source only"),
             known ? errdetail("The encoding of the source's database is %s, and the source itself "
                               "converts from it.",
                               name)
                   : 0,
             errhint("Leave the argument out.")));
}

const char *encode(const Connection *connection, const char *text) {
    return convert(connection, text, pg_server_to_any);
}

const char *decode(const Connection *connection, const char *text) {
    return convert(connection, text, pg_any_to_server);
}

const char *hint_for(const Connection *connection, int sqlerrcode) {
    bool helps = sqlerrcode == ERRCODE_CHARACTER_NOT_IN_REPERTOIRE && connection->encoding < 0 &&
                 is_sql_ascii(connection);
    return helps ? "Name the encoding that the bytes of the source really are in with argument "
                   "\"source_encoding\"."
                 : nullptr;
}

char *utf8_expression(const char *text, const char *encoding) {
    if (encoding == nullptr)
        return psprintf("pg_catalog.convert_to(%s, 'UTF8')", text);
    return psprintf("pg_catalog.convert(pg_catalog.convert_to(%s, 'SQL_ASCII'), '%s', 'UTF8')",
                    text, encoding);
}

}  // namespace fastcopy::source
