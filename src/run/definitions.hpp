// The definitions of fastcopy.clone's tables, and of all else in a database, made by the pg_dump and
// pg_restore of this server's own installation: what they know about PostgreSQL's objects is not
// known twice.
//
// pg_dump reads them under the job's snapshot. What comes before the data (schemas, types, functions,
// tables, views) is created in the transaction that writes the job to the ledger, so that a failure
// leaves nothing behind. What comes after the data goes into the ledger, and the crew makes it once
// all rows are in (job/definition.hpp has the order), each object in a transaction that marks it
// made: after a crash, the job goes on where it was.
//
// No shell is involved, and no password is in arguments or files: pg_dump has it in its environment.
// The source's definitions are run with the privileges of the job's role, as by pg_restore: whoever
// can create objects on the source is trusted with them.
#ifndef FASTCOPY_RUN_DEFINITIONS_HPP
#define FASTCOPY_RUN_DEFINITIONS_HPP

#include "run/dump.hpp"

namespace fastcopy::run {

// An ERROR if the source is newer than the pg_dump here, or has an extension that keeps in its own
// catalogs what no definition of pg_dump's says.
void refuse_source(source::Connection *connection);

// An ERROR if a foreign key of these tables, OIDs with commas between them, refers to a table that is
// neither one of them nor here: it would fail after all rows have been copied.
void refuse_dangling_keys(source::Connection *connection, const char *oids);

// Has the definitions dumped, and creates what comes before the data. Sets the targets of the
// request's tables. An ERROR if the snapshot has a table that is not listed.
dump::Dump create_tables(RunningJob *job, const Listing &listing, const SourceFacts &facts);

// Writes what comes after the data to the ledger; the leaves of the facts, which tell tables' sizes,
// have been read.
void write_definitions(RunningJob *job, const dump::Dump &dumped, const SourceFacts &facts);

// Of a job that is resumed and reads its source again: takes the values of sequences anew.
void read_sequences_again(RunningJob *job);

}  // namespace fastcopy::run

#endif
