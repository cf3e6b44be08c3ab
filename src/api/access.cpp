#include "api/access.hpp"

namespace fastcopy::api {

bool is_owner(Oid owner) {
    // A dropped role has no members; superusers may still clean up.
    return superuser() || (SearchSysCacheExists1(AUTHOID, ObjectIdGetDatum(owner)) &&
                           has_privs_of_role(GetUserId(), owner));
}

bool may_steer(Oid owner) {
    return is_owner(owner) ||
           (has_privs_of_role(GetUserId(), ROLE_PG_SIGNAL_BACKEND) && !superuser_arg(owner));
}

bool may_see(Oid owner) {
    return may_steer(owner) || has_privs_of_role(GetUserId(), ROLE_PG_READ_ALL_STATS);
}

void raise_no_such_job(int64 job) {
    ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
                    errmsg("fastcopy job " INT64_FORMAT " does not exist", job)));
}

}  // namespace fastcopy::api

extern "C" {

PG_FUNCTION_INFO_V1(fastcopy_may_see);
PG_FUNCTION_INFO_V1(fastcopy_is_owner);

// fastcopy.may_see(owner oid) → boolean
PGDLLEXPORT Datum fastcopy_may_see(PG_FUNCTION_ARGS) {
    PG_RETURN_BOOL(fastcopy::api::may_see(PG_GETARG_OID(0)));
}

// fastcopy.is_owner(owner oid) → boolean
PGDLLEXPORT Datum fastcopy_is_owner(PG_FUNCTION_ARGS) {
    PG_RETURN_BOOL(fastcopy::api::is_owner(PG_GETARG_OID(0)));
}
}
