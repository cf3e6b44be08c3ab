// Which settings of the calling session a job takes on.
//
// Defaults, checks, triggers and casts of COPY typed in the caller's session see that session's settings. So must the
// job's processes: they connect anew, and would have the defaults of role and database only. A job takes on
//
//   what the session has set: by SET, PGOPTIONS, a function's SET clause, ALTER ROLE, ALTER DATABASE;
//   settings that decide what a value means, wherever they come from: the configuration file may say otherwise when
//   the job is resumed;
//   all settings, if the job's role is not the one that has logged in: the processes may log in as another role
//   than the session did, with other defaults.
//
// Not those that are the job's own (`owned_by_job`), and the configuration file's others, which follow the file.
// The ledger keeps them (job/ledger_settings.cpp), for the job to have them again when it is resumed by whoever may.
// They may hold secrets: nobody but the job's owner and superusers may read them.
#ifndef FASTCOPY_JOB_CALLER_SETTINGS_HPP
#define FASTCOPY_JOB_CALLER_SETTINGS_HPP

#include "pg/guc.hpp"
#include "pg/identity.hpp"

namespace fastcopy::job {

// Those of the session that runs now, for a job of this identity. `triggers`: as in fastcopy.start.
pg::Settings read_caller_settings(const pg::Identity &identity, bool triggers);

}  // namespace fastcopy::job

#endif
