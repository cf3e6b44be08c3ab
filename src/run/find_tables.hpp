// The tables of a job of fastcopy.clone: found on the source by patterns, and here by their names.
//
// Taken are ordinary and partitioned tables; the patterns are those of pg_dump -t and -T. A
// partition goes with the table that it is a partition of, if that is taken. Without patterns, what
// is taken is what pg_dump takes: not the system's tables, and not those of extensions.
#ifndef FASTCOPY_RUN_FIND_TABLES_HPP
#define FASTCOPY_RUN_FIND_TABLES_HPP

#include "run/preparation_steps.hpp"

namespace fastcopy::run {

// Names, quoted and schema-qualified.
struct Names {
    int count;
    const char **names;
};

// What else was found when the tables were listed.
struct Listing {
    Oid *oids;            // of each table
    const char **leaves;  // likewise: OIDs, separated by spaces
    bool *is_parent;      // likewise: whether other tables inherit from it
    // If the tables are to be created: the partitions, at all levels, of those that match the
    // patterns of each argument.
    Names partitions;
    Names excluded_partitions;
};

// Sets the tables of the request, in order of their names, with those of the targets that exist; what
// is to last is allocated in `context`. An ERROR if a pattern has no table, or if there is no table at
// all. The connection has its default search_path.
Listing list_tables(source::Connection *connection, job::Request *request, MemoryContext context);

// An ERROR if there are hypertables: their chunks inherit from them, and are no tables of their own.
void refuse_hypertables(source::Connection *connection, const job::Request &request,
                        const Listing &listing);

// Sets the filters of the tables that they name; an ERROR if there is none.
void set_filters(source::Connection *connection, job::Request *request, const Listing &listing);

// The foreign tables that the request's patterns match. They are not copied.
Names list_foreign_tables(source::Connection *connection, const job::Request &request);

// Connects to the source, and sets the tables of the job's request, in order of their names. An
// ERROR if a pattern or a filter has no table, if there is no table at all, or if tables do not
// exist here; or, if the job is to create them, if they do.
Listing find_tables(RunningJob *job);

// Sets the targets of the request's tables, once the job has created them.
void find_created(RunningJob *job);

// An ERROR if a table has other leaves in the job's snapshot: a partition that was attached or
// detached since would be copied twice, or not at all.
void check_unchanged(const Listing &listing, const SourceFacts &facts);

}  // namespace fastcopy::run

#endif
