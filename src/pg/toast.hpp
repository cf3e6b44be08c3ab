// Compression of large values.
//
// Copying large values spends most of its time in pglz, PostgreSQL's default; lz4 is several times
// as fast and compresses about as well. It is used if the server was built with it and no other
// method was chosen: a column's own COMPRESSION takes precedence, and so does any setting of
// default_toast_compression by the configuration file, the database or the role.
#ifndef FASTCOPY_PG_TOAST_HPP
#define FASTCOPY_PG_TOAST_HPP

#include "pg/postgres.hpp"

namespace fastcopy::pg {

// Makes lz4 this process's default compression, unless that was chosen or is not available.
void prefer_lz4();

}  // namespace fastcopy::pg

#endif
