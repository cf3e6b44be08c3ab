// The encoding of a source whose database is SQL_ASCII.
//
// Such a database does not know the encoding of its bytes: it converts nothing, and only validates
// them in the client's encoding. The caller may specify it (argument source_encoding). It is then
// the client's encoding, and this side converts in place of the server: statements on their way
// out, answers on their way in, rows by COPY FROM. All other sources convert themselves, and the
// argument is an ERROR.
#ifndef FASTCOPY_SOURCE_ENCODING_HPP
#define FASTCOPY_SOURCE_ENCODING_HPP

#include "source/connection.hpp"

namespace fastcopy::source {

// An ERROR unless the source's database is SQL_ASCII.
void check_source_encoding(const Connection *connection);

// Converts a text to the source's encoding, and back; palloc'd, or the text itself. An ERROR if it
// cannot be converted.
const char *encode(const Connection *connection, const char *text);
const char *decode(const Connection *connection, const char *text);

// A hint for errors that source_encoding may avoid; nullptr for all others.
const char *hint_for(const Connection *connection, int sqlerrcode);

// An SQL expression for the bytes in UTF-8 of a text expression. `encoding`: that of a SQL_ASCII
// server; nullptr for other servers.
char *utf8_expression(const char *text, const char *encoding);

}  // namespace fastcopy::source

#endif
