// Auto-resume: after a restart of the server, interrupted jobs go on by themselves.
//
// It exists only when the library is in shared_preload_libraries, and takes one background worker slot. The
// launcher waits until the server takes connections and, if fastcopy.auto_resume is on, has a helper look
// into each database, one after the other. The helper resumes the jobs that read `interrupted` and whose
// source is a foreign server: a connection string's password is kept nowhere. A job goes on as its owner, by
// the same function and with the same checks as if the owner had called fastcopy.resume. One that cannot
// is told to the log and stays interrupted; so does that of a role that cannot log in, and one that was
// resumed many times without a chunk done: it may be what brings the server down.
//
// The launcher then sleeps until the server stops. It must not exit: PostgreSQL forgets a worker that has, and
// would not start it again after the next crash.
#ifndef FASTCOPY_API_AUTO_RESUME_HPP
#define FASTCOPY_API_AUTO_RESUME_HPP

#include "pg/postgres.hpp"

namespace fastcopy::api {

// To be called while shared_preload_libraries are loaded.
void register_launcher();

}  // namespace fastcopy::api

extern "C" PGDLLEXPORT void fastcopy_launcher_main(Datum argument);
extern "C" PGDLLEXPORT void fastcopy_resumer_main(Datum argument);

#endif
