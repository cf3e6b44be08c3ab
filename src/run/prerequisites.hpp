// What definitions of the source need here, and do not bring along: roles, extensions, tablespaces,
// collations; and if they are of some tables only, schemas and types, too.
//
// The source's catalogs say what is needed: pg_shdepend for roles, which has the owners and grantees of
// all objects of a database but for the bootstrap superuser. fastcopy.check reports what is missing; a
// job of fastcopy.clone fails with all of it at once, before pg_dump would trip over the first.
#ifndef FASTCOPY_RUN_PREREQUISITES_HPP
#define FASTCOPY_RUN_PREREQUISITES_HPP

#include <span>

#include "run/findings.hpp"
#include "source/connection.hpp"

namespace fastcopy::run {

// What is to be created.
struct Wanted {
    bool whole;                   // all objects of the database, but for tables that are not listed
    bool with_exceptions;         // of tables that are not listed, and of others of their names
    std::span<const Oid> tables;  // on the source; their partitions belong to them
    bool owners;
    bool privileges;
};

// An ERROR unless the current role may have definitions created: that runs programs on this server.
void check_may_create();

// What is missing here, errors and warnings. The source's session has an empty search_path.
Findings find_missing(source::Connection *connection, const Wanted &wanted);

// An ERROR that lists the errors among the findings, if there are any.
void raise_missing(const Findings &missing);

}  // namespace fastcopy::run

#endif
