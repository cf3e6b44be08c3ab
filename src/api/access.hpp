// The privileges to see a job and to act on it.
//
// A job belongs to the role that called fastcopy.start. Its owner, members of the owner and
// superusers may do anything with it; members of pg_signal_backend may cancel and steer it (but not
// a superuser's, like pg_cancel_backend); members of pg_read_all_stats may see it. To other roles
// it does not exist.
#ifndef FASTCOPY_API_ACCESS_HPP
#define FASTCOPY_API_ACCESS_HPP

#include "pg/postgres.hpp"

namespace fastcopy::api {

bool may_see(Oid owner);
bool may_steer(Oid owner);
bool is_owner(Oid owner);

[[noreturn]] void raise_no_such_job(int64 job);

}  // namespace fastcopy::api

#endif
