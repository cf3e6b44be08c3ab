// Errors of the source, raised here.
//
// An error keeps its SQLSTATE, message, detail, hint and context, and gets the statement as one
// more line of context. None of it is trusted: texts are cut, made valid in this database's
// encoding, and a SQLSTATE of success, which the rest of the server would take for no error, is
// replaced.
#ifndef FASTCOPY_SOURCE_REMOTE_ERROR_HPP
#define FASTCOPY_SOURCE_REMOTE_ERROR_HPP

#include "source/connection.hpp"

namespace fastcopy::source {

// A text of the source, cut and made valid here, without a newline at its end; palloc'd. nullptr
// for nullptr.
const char *valid_text(const char *text);

// A notice receiver of libpq, whose argument is the Connection. Keeps the error by which the source
// has ended an idle session, which libpq passes on as a notice, and ignores all other notices:
// libpq would write them to stderr.
void note_last_words(void *connection, const PGresult *result);

// Raises the source's error: that of `result`, or of the connection when it has none. Clears the
// result. `sql` is the statement for the context line.
[[noreturn]] void raise_remote_error(Connection *connection, PGresult *result, const char *sql);

}  // namespace fastcopy::source

#endif
