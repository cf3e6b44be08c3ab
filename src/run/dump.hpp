// Runs pg_dump and pg_restore, and takes their text apart.
#ifndef FASTCOPY_RUN_DUMP_HPP
#define FASTCOPY_RUN_DUMP_HPP

#include "core/dump_text.hpp"
#include "run/find_tables.hpp"

namespace fastcopy::run::dump {

// One section of a dump. The entries point into a text that lives as long as the transaction.
struct Section {
    int count;
    core::DumpEntry *entries;
};

struct Dump {
    Section before_data;
    Section after_data;
    Section statistics;  // empty if ANALYZE is to make them
};

// An ERROR if the source is newer than the pg_dump here.
void check_version(source::Connection *connection);

// Dumps the definitions of the request's tables, or of the whole database, under the job's snapshot.
Dump read(RunningJob *job, const Listing &listing);

bool is_table(const core::DumpEntry &entry);
bool is_sequence(const core::DumpEntry &entry);

// The OIDs of a section's entries of some kind, with commas between them, palloc'd.
const char *oids_of(const Section &section, bool (*is_wanted)(const core::DumpEntry &entry));

// A palloc'd, terminated copy.
char *copy(std::string_view text);

// An object's name for messages and users: with its schema, if it is in one.
char *shown_name(const core::DumpEntry &entry);

// An entry's SQL, with the settings that it needs.
char *sql_of(const core::DumpEntry &entry);

}  // namespace fastcopy::run::dump

#endif
