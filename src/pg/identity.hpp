// The role of a background process, and the transactions that it runs as that role.
//
// A job runs as the role that called fastcopy.start (its current user then, so SET ROLE and
// SECURITY DEFINER count). A background process can only connect as a role that may log in; when
// the caller's current user may not (a group role, the owner of a SECURITY DEFINER function), the
// process connects as the role that logged in and each transaction takes on the job's role, in a
// security context that forbids SET ROLE, so that no trigger can step back to the other role.
#ifndef FASTCOPY_PG_IDENTITY_HPP
#define FASTCOPY_PG_IDENTITY_HPP

#include "pg/postgres.hpp"

namespace fastcopy::pg {

struct Identity {
    Oid database;
    Oid login;  // the authenticated role
    Oid role;   // the role that the job runs as
};

// Whether a process can connect as this role; an ERROR if the role does not exist.
bool may_log_in(Oid role);

// The identity of the calling session.
Identity current_identity();

// Connects this background process to the identity's database.
void connect_as(const Identity &identity);

// Transactions of a background process. commit() returns with the transaction committed;
// abort_transaction() is for a PG_CATCH block.
void begin_transaction(const Identity &identity);
// A transaction for the ledger alone, without the job's role, which may have been dropped
// meanwhile.
void begin_ledger_transaction();
void commit_transaction();
void abort_transaction();

// A read-only transaction under one snapshot. It begins without the snapshot, so that locks can be
// taken before; take_snapshot takes a new one, or imports the one exported by another process.
// commit_transaction ends it.
void begin_reading(const Identity &identity);
void take_snapshot(const char *exported);

}  // namespace fastcopy::pg

#endif
