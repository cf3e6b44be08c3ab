// The encoding of a source whose database is SQL_ASCII.
//
// Such a database does not know what its bytes mean: it converts nothing, and only looks whether they are valid in
// the client's encoding. The caller may say what they mean (argument source_encoding). Then that is the
// client's encoding, and what the server would do is done here: statements are converted on their way out, answers
// on their way in, rows by COPY FROM. Any other source converts by itself, and the argument is an ERROR.
#ifndef FASTCOPY_SOURCE_ENCODING_HPP
#define FASTCOPY_SOURCE_ENCODING_HPP

#include "source/connection.hpp"

namespace fastcopy::source {

// An ERROR unless the source's database is SQL_ASCII.
void check_source_encoding(const Connection *connection);

// A text as the source has it, and back; palloc'd, or the text itself. Both raise an ERROR for a text that cannot be
// converted.
const char *encode(const Connection *connection, const char *text);
const char *decode(const Connection *connection, const char *text);

// A hint for an error of the source that source_encoding may help against; nullptr for all others.
const char *hint_for(const Connection *connection, int sqlerrcode);

// SQL that computes, on a server, the bytes in UTF-8 of a text expression. `encoding`: that of a SQL_ASCII server,
// nullptr where the server knows.
char *utf8_expression(const char *text, const char *encoding);

}  // namespace fastcopy::source

#endif
