// Auto-resume: after a restart of the server, interrupted jobs are resumed.
//
// It requires the library to be in shared_preload_libraries, and takes one background worker slot.
// The launcher waits until the server accepts connections and, if fastcopy.auto_resume is on,
// starts a helper for each database, one after the other. The helper resumes the jobs that read
// `interrupted` and whose source is a foreign server: the password of a connection string is not
// kept. A job is resumed as its owner, by the same function and with the same checks as if the
// owner had called fastcopy.resume. A job that cannot be resumed is logged and stays interrupted;
// so does a job whose role cannot log in, and a job that was resumed many times without a chunk
// done: it may be what crashes the server.
//
// The launcher then sleeps until the server stops. It must not exit: PostgreSQL forgets a worker
// that has exited, and would not restart it after the next crash.
#ifndef FASTCOPY_API_AUTO_RESUME_HPP
#define FASTCOPY_API_AUTO_RESUME_HPP

#include "pg/postgres.hpp"

namespace fastcopy::api {

// Call it while shared_preload_libraries are loaded.
void register_launcher();

}  // namespace fastcopy::api

extern "C" PGDLLEXPORT void fastcopy_launcher_main(Datum argument);
extern "C" PGDLLEXPORT void fastcopy_resumer_main(Datum argument);

#endif
