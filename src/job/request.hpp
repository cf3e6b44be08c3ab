// A request: the arguments of fastcopy.start, clone, resume or compare, resolved and checked by the
// calling session.
//
// It reaches the background processes as bytes in shared memory, and lies nowhere else: the
// connection string in it has the password. visit() names the fields once, for both ways.
#ifndef FASTCOPY_JOB_REQUEST_HPP
#define FASTCOPY_JOB_REQUEST_HPP

#include "pg/guc.hpp"

namespace fastcopy::job {

// A source table and the target table that its rows go into. Strings are palloc'd.
struct Table {
    const char *source_table;  // as given: the source resolves it
    const char *target_table;  // schema-qualified name of `target`
    Oid target;
    const char *key;     // nullptr: the planner chooses
    const char *filter;  // nullptr: all rows
    int ncolumns;        // -1: all columns
    const char **columns;
};

// Strings are palloc'd.
struct Request {
    const char *source;       // conninfo as given, with its password
    const char *safe_source;  // the same without any password, for users and the ledger
    int ntables;
    Table *tables;
    // Of fastcopy.clone: the coordinator finds the tables on the source; see run/find_tables.hpp.
    bool clone;
    int include_count;  // patterns; 0: all tables
    const char **include;
    int exclude_count;
    const char **exclude;
    int filter_count;
    const char **filtered;  // names of tables on the source,
    const char **filters;   // and their filters
    bool create;            // the tables do not exist here: see run/definitions.hpp
    bool owners;            // of what is created, as on the source
    bool privileges;        // likewise
    int workers;
    bool truncate;
    bool rebuild_indexes;
    bool triggers;
    bool statistics;
    const char *source_encoding;  // of the bytes of a SQL_ASCII source; nullptr: as they come
    bool sequences;               // advance those of the target's columns
    bool foreign_keys;            // check at the end those that no trigger checks
    int chunk_size_kb;            // 0: the planner chooses
    bool lz4_toast;
    bool password_required;  // false: as source::Trust::superuser
    int retry_limit;
    int retry_delay_ms;
    // The caller's settings of these names, which all index builds of the job share.
    int maintenance_work_mem_kb;
    int max_parallel_maintenance_workers;
    pg::Settings settings;  // see job/caller_settings.hpp
    // Of a comparison only: read both sides under the search_path that the role has by default.
    bool own_search_path;
    // Of fastcopy.sync only, see run/sync.hpp: take what is new since the last run; find it by
    // comparing all keys; wait for another run of the same pair.
    bool sync;
    bool rescan;
    bool wait_for_turn;
    // Of fastcopy.resume only: the job to resume; 0 for a new one.
    int64 resumed_job;
    bool accept_changes;

    // Of all but fastcopy.clone.
    const Table &only_table() const {
        Assert(ntables == 1);
        return tables[0];
    }
};

// What messages call the job's targets: the only one by its name.
const char *name_of_targets(const Request &request);

// A request as bytes, and back; strings are palloc'd in the current context.
void pack_request(StringInfo bytes, const Request &request);
Request unpack_request(const char *in);

}  // namespace fastcopy::job

#endif
