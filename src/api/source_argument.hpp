// The `source` argument of an SQL function: a connection string, a URI, or the name of a foreign
// server.
//
// It is resolved in the caller's session, with the caller's privileges and user mapping; background
// processes get the resulting connection string and trust.
#ifndef FASTCOPY_API_SOURCE_ARGUMENT_HPP
#define FASTCOPY_API_SOURCE_ARGUMENT_HPP

#include "pg/postgres.hpp"
#include "source/credentials.hpp"

namespace fastcopy::api {

struct SourceArgument {
    const char *conninfo;  // to connect with: it may hold a password
    const char
        *safe_name;  // the same without any secret, or the server's name: for people and the ledger
    source::Trust trust;  // what the caller may connect with
};

// An ERROR if the source cannot be parsed or found, or the caller may not use it. Does not connect.
SourceArgument resolve_source(const char *given);

}  // namespace fastcopy::api

#endif
