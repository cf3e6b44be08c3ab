// A foreign server as source: the connection string made of its options and the user mapping's.
//
// The name of a foreign server may replace a connection string, which has a "=" or is a URI.
// The server may belong to this extension's own wrapper or to any other whose options
// are libpq's, such as postgres_fdw: options that libpq does not know are ignored.
//
// As with postgres_fdw, a user mapping may have password_required 'false', which only superusers
// can set. The validators of these two wrappers enforce that, so the option counts for them only.
#ifndef FASTCOPY_SOURCE_FOREIGN_SERVER_HPP
#define FASTCOPY_SOURCE_FOREIGN_SERVER_HPP

#include "source/credentials.hpp"

namespace fastcopy::source {

// Whether `source` is a name rather than a connection string.
bool is_server_name(const char *source);

struct ServerSource {
    const char *conninfo;
    Trust trust;
};

// The connection string of the current user. An ERROR if the server, USAGE on it, or a
// user mapping is missing.
ServerSource resolve_server(const char *name);

// Whether libpq has a connection option of this name that users may set.
bool is_libpq_option(const char *keyword);

// Whether the option is for user mappings: it names the user or a secret.
bool is_mapping_option(const char *keyword);

}  // namespace fastcopy::source

#endif
