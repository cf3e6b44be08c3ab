// The settings of the calling session that a job takes on.
//
// Defaults, checks, triggers and casts of COPY in the caller's session depend on that session's
// settings. So they must in the job's processes, which connect anew and would only have the
// defaults of role and database. A job takes on
//
//   what the session has set: by SET, PGOPTIONS, a function's SET clause, ALTER ROLE, ALTER DATABASE;
//   settings that decide what a value means, from any source: the configuration file may have
//   changed when the job is resumed;
//   all settings, if the job's role is not the one that has logged in: the processes may log in as
//   another role than the session did, with other defaults.
//
// It does not take on settings that are its own (`owned_by_job`), nor others of the configuration
// file, which follow the file. The ledger keeps them (job/ledger_settings.cpp) for resuming the
// job. They may contain secrets: only the job's owner and superusers may read them.
#ifndef FASTCOPY_JOB_CALLER_SETTINGS_HPP
#define FASTCOPY_JOB_CALLER_SETTINGS_HPP

#include "pg/guc.hpp"
#include "pg/identity.hpp"

namespace fastcopy::job {

// Those of the session that runs now, for a job of this identity. `triggers`: as in fastcopy.start.
pg::Settings read_caller_settings(const pg::Identity &identity, bool triggers);

}  // namespace fastcopy::job

#endif
