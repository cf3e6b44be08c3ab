// Connection strings: put together from options, and shown without their secrets.
#ifndef FASTCOPY_SOURCE_CONNINFO_HPP
#define FASTCOPY_SOURCE_CONNINFO_HPP

#include "pg/postgres.hpp"

namespace fastcopy::source {

// Checks a connection string or URI without connecting, and returns it in keyword form without
// any secrets, for users to see. An ERROR if it cannot be parsed.
char *without_secrets(const char *source);

// A connection string for another program: in keyword form, without the password, which goes beside
// it (nullptr: none). An ERROR if it has other secrets.
struct ProgramSource {
    char *conninfo;
    char *password;
};
ProgramSource for_program(const char *source);

// Appends an option to a connection string in keyword form, quoted if it needs quotes.
void append_option(StringInfo conninfo, const char *keyword, const char *value);

}  // namespace fastcopy::source

#endif
