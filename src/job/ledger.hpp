// The ledger: the tables fastcopy.job and fastcopy.chunk, what survives a crash.
//
// Every statement on them is in this module, and runs as the extension's owner with a search_path that
// nobody else can write to. Writers are the coordinator (a job's row and its chunks' rows, at the start
// and at the end) and the workers (one chunk's done-mark, in the very transaction that inserts the
// chunk's rows: both are there after a crash, or neither).
//
// Readers may be in any transaction: they see what is committed now, whatever their isolation level.
#ifndef FASTCOPY_JOB_LEDGER_HPP
#define FASTCOPY_JOB_LEDGER_HPP

#include "job/area.hpp"
#include "job/markers.hpp"
#include "job/state.hpp"
#include "pg/postgres.hpp"
#include "plan/chunk.hpp"

namespace fastcopy::job::ledger {

int64 next_job();

// Writes a job's row, in state copying, and one row per chunk.
void add_job(int64 job, const Request &request, const plan::RowShape &shape, Oid owner,
             TimestampTz started_at, const plan::Chunk *chunks, int nchunks,
             const SourceMarkers &markers, const TargetFiles &files);

// Writes down the settings that the job takes on, and reads them again; without libraries.
void add_settings(int64 job, const pg::Settings &settings);
pg::Settings read_settings(int64 job);

// Writes down what else there is to know of the wire; read_shape reads it.
void add_wire(int64 job, const plan::RowShape &shape);
void read_wire(int64 job, plan::RowShape *shape);

// Writes down foreign keys that are to be checked when all rows are there, set aside until then or not.
void add_foreign_keys(int64 job, const TargetForeignKeys &keys, bool set_aside);

// Those that are still to be checked.
struct OpenForeignKey {
    Oid oid;
    bool set_aside;
};
struct OpenForeignKeys {
    int count;
    OpenForeignKey *keys;
};
OpenForeignKeys read_open_foreign_keys(int64 job);
void mark_foreign_key_done(int64 job, Oid key, TimestampTz started_at);

// Writes down the indexes that the job is about to set aside, numbered from 1.
void add_indexes(int64 job, const TargetIndexes &indexes);

// An index of a job that is not built yet; oid is InvalidOid if it is, or if there is none of this number.
// Locks the row to the end of the transaction.
Oid read_index(int64 job, int32 number);

// Marks an index built.
void mark_index_done(int64 job, int32 number, TimestampTz started_at);

// Puts a job from state copying into state indexing.
void begin_indexing(int64 job);

// Puts an ended or interrupted job back into state copying. From now on its chunks, done or not, are as of
// the snapshot of these markers, and its target has these files.
void begin_again(int64 job, const Request &request, const SourceMarkers &markers,
                 const TargetFiles &files);

// Adds files to those of the job's target: a worker has found new partitions.
void add_target_files(int64 job, const TargetFiles &files);

// Adds the snapshot to the markers of a job.
void write_snapshot(int64 job, const char *snapshot);

// Writes down with how many workers a job goes on whose workers were in each other's way. It holds to the job's end,
// whatever else there is to say.
void write_crew_notice(int64 job, const char *notice);

// What the job's owner should know; nullptr: nothing any more.
void write_notice(int64 job, const char *notice);

// Ends a job; `error` is given for state failed only. An ERROR if the job is to be done and a chunk, an
// index or a foreign key of it is not.
void end_job(int64 job, State state, const pg::ErrorReport *error);

// The row shape of a job, palloc'd.
plan::RowShape read_shape(int64 job);

// A chunk of a job, palloc'd. An ERROR when it is not there.
plan::Chunk read_chunk(int64 job, int32 number);

// What a worker says of a chunk that it has copied.
struct CopiedChunk {
    int32 number;
    int32 worker;
    uint64 rows;         // inserted
    uint64 rows_sent;    // by the source
    bool may_drop_rows;  // the target: these two may differ
    uint64 bytes;
    int32 retries;
    TimestampTz started_at;
};

// Marks a chunk done. An ERROR when it is done already: its rows would be there twice.
void mark_done(int64 job, const CopiedChunk &chunk);

// What a job's row says now. Strings are palloc'd.
struct JobRow {
    bool found;
    Oid owner;
    const char *state;
    int64 rows;  // read, of chunks that are done
    bool has_error;
    const char *notice;  // nullptr: none
};
JobRow read_job(int64 job);

// What it takes to resume a job; an ERROR when it is not in the ledger. All palloc'd.
struct Former {
    Oid owner;
    const char *state;
    const char *source;  // without any password, or the name of a server
    const char *source_table;
    const char *target_table;
    Oid target;
    int workers;
    bool triggers;
    bool statistics;
    bool rebuild_indexes;
    const char *source_encoding;  // as in Request
    bool sequences;
    int indexes;
    int indexes_done;
    int chunks;
    SourceMarkers markers;
    TargetFiles files;
    bool unlogged_emptied;  // by a crash, with the unlogged part of the target
    int chunks_done;
    int64 rows;        // of chunks that are done
    int64 bytes;       // likewise
    bool unresolved;   // other servers may have stored a chunk that is not done
    int chunks_short;  // done, with other rows than the source sent, though the target drops none
};
Former read_former(int64 job);

// The numbers of the chunks that are done, palloc'd.
Bitmapset *read_done_chunks(int64 job);

// The files of the job's target as the ledger has them, palloc'd.
TargetFiles read_target_files(int64 job);

// The source relations of the chunks that are done, as in plan::Chunk.
struct Relation {
    const char *name;
    bool only;
};
struct Relations {
    int count;
    Relation *relations;
};
Relations read_done_relations(int64 job);

// Raises a failed job's error as it was.
void raise_error(int64 job);

// The jobs that the ledger calls running, palloc'd: all of them, for who asks when none can be. Without those
// that were resumed so many times in a row without a chunk done since.
int64 *unfinished_jobs(int most_vain_resumes, int *count);

// Removes a job's rows.
void remove_job(int64 job);

}  // namespace fastcopy::job::ledger

#endif
