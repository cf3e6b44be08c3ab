// The version of the library, which is that of the SQL objects that it works with: the same as in
// the control file.
#ifndef FASTCOPY_VERSION_HPP
#define FASTCOPY_VERSION_HPP

#define FASTCOPY_VERSION "0.2.0"

#endif
