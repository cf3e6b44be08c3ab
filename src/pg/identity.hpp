// Who a background process of ours is, and the transactions it runs as that role.
//
// A job runs as the role that called fastcopy.start (its current user then, so SET ROLE and SECURITY
// DEFINER count). A background process can only connect as a role that may log in; when the caller's
// current user may not (a group role, the owner of a SECURITY DEFINER function), the process connects
// as the role that logged in and each transaction takes on the job's role, in a security context that
// forbids SET ROLE, so that no trigger can step back to the other role.
//
// What must run with the rights of the extension's owner (the ledger) is bracketed by
// become_owner() / become_self(); an error in between needs no care, as PostgreSQL restores user and
// settings when it aborts the transaction.
#ifndef FASTCOPY_PG_IDENTITY_HPP
#define FASTCOPY_PG_IDENTITY_HPP

#include "pg/postgres.hpp"

namespace fastcopy::pg {

struct Identity {
    Oid database;
    Oid login;  // who authenticated
    Oid role;   // who the job runs as
};

// Whether a process can connect as this role; an ERROR when there is none.
bool may_log_in(Oid role);

// The identity of the session that runs now.
Identity current_identity();

// Connects this background process to the identity's database.
void connect_as(const Identity &identity);

// Transactions of a background process. commit() returns with the transaction committed;
// abort_transaction() is for a PG_CATCH block.
void begin_transaction(const Identity &identity);
// For the ledger's end of a job, whose role may have been dropped meanwhile: nothing is done as that role.
void begin_ledger_transaction();
void commit_transaction();
void abort_transaction();

// A transaction that only reads, all of it by one snapshot. It begins without one, so that locks can be taken
// before; then takes a new one, or (exported is not nullptr) one that another process has exported. Its end is
// commit_transaction.
void begin_reading(const Identity &identity);
void take_snapshot(const char *exported);

// What become_self needs to undo become_owner.
struct OwnerScope {
    Oid role;
    int sec_context;
    int guc_nest_level;
};

// Takes on the role that owns the ledger, with a search_path nobody else can write to.
OwnerScope become_owner();
void become_self(const OwnerScope &scope);

}  // namespace fastcopy::pg

#endif
