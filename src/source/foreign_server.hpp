// A foreign server as source: the connection string that its options and the user's mapping make.
//
// The name of a foreign server stands where a connection string may; one has a "=" or is a URI, the other
// is an identifier. The server may belong to this extension's own wrapper or to any other whose options
// are libpq's, postgres_fdw's above all: options that libpq does not know are passed over.
//
// As with postgres_fdw, a mapping may say password_required 'false', which only a superuser can have set:
// the validators of both wrappers see to that, so it counts for these two only.
#ifndef FASTCOPY_SOURCE_FOREIGN_SERVER_HPP
#define FASTCOPY_SOURCE_FOREIGN_SERVER_HPP

#include "source/credentials.hpp"

namespace fastcopy::source {

// Whether `source` can only be a name.
bool is_server_name(const char *source);

struct ServerSource {
    const char *conninfo;
    Trust trust;
};

// The current user's way to the server. An ERROR when there is no such server, no USAGE on it, or no
// user mapping.
ServerSource resolve_server(const char *name);

// Whether libpq has a connection option of this name that a user may give.
bool is_libpq_option(const char *keyword);

// Whether it names who connects or with what secret, which belongs into a user mapping.
bool is_mapping_option(const char *keyword);

}  // namespace fastcopy::source

#endif
