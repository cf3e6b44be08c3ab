// Which credentials may open the source.
//
// A connection from within the server is made by the server's operating system account. What that
// account may do (peer, ident or trust authentication, its .pgpass, its certificates, tickets and
// service file) must not be lent to every role that may start a copy. As with dblink and
// postgres_fdw, non-superusers must provide a password, and the source must have asked for it.
// Options by which the server reads credentials from, or writes to, files of its account are for
// superusers only.
#ifndef FASTCOPY_SOURCE_CREDENTIALS_HPP
#define FASTCOPY_SOURCE_CREDENTIALS_HPP

#include "pg/postgres.hpp"

namespace fastcopy::source {

enum class Trust { superuser, own_password_only };

// What the role may connect with. Needs a transaction.
Trust trust_in(Oid role);

// Whether a connection option uses files or credentials of the server's account.
bool is_for_superusers(const char *keyword);

// Before connecting: an ERROR if this connection string may not be used.
void check_source_string(const char *source, Trust trust);

// After connecting: false if a password was needed and the source did not ask for it.
bool used_own_credentials(PGconn *conn, Trust trust);

}  // namespace fastcopy::source

#endif
