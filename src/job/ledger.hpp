// The ledger: the tables fastcopy.job, fastcopy.chunk and others, which survive a crash.
//
// All statements on them are in this module, and run as the extension's owner with a search_path
// that no other role can write to. Writers are the coordinator (a job's row and its chunks' rows,
// at the start and at the end) and the workers (a chunk's done mark, in the transaction that
// inserts the chunk's rows: after a crash, both exist or neither).
//
// Readers may be in any transaction: they see what is committed now, whatever their isolation
// level.
#ifndef FASTCOPY_JOB_LEDGER_HPP
#define FASTCOPY_JOB_LEDGER_HPP

#include <span>

#include "job/area.hpp"
#include "job/definition.hpp"
#include "job/ledger_ways.hpp"
#include "job/markers.hpp"
#include "job/state.hpp"
#include "pg/postgres.hpp"
#include "plan/chunk.hpp"

namespace fastcopy::job::ledger {

int64 next_job();

// Writes a job's row, in state copying. Its tables' rows follow, and their chunks'.
void add_job(int64 job, const Request &request, Oid owner, TimestampTz started_at, int nchunks,
             const SourceMarkers &markers);

// A table of a job, as it is planned.
struct PlannedTable {
    int32 number;  // from 1
    const Table *request;
    const plan::RowShape *shape;
    TableMarkers markers;
    TargetFiles files;
    Ways ways;
    const plan::Chunk *chunks;
    int nchunks;
};
void add_table(int64 job, const PlannedTable &table);

// Writes and reads the settings that the job takes on, without libraries.
void add_settings(int64 job, const pg::Settings &settings);
pg::Settings read_settings(int64 job);

// Adds foreign keys to check once all rows are copied.
void add_foreign_keys(int64 job, const TargetForeignKeys &keys, bool set_aside);

// The keys that are not checked yet.
struct OpenForeignKey {
    Oid oid;
    bool set_aside;
    bool was_valid;  // before the job
};
struct OpenForeignKeys {
    int count;
    OpenForeignKey *keys;
};
OpenForeignKeys read_open_foreign_keys(int64 job);
// OIDs of the keys that jobs have set aside and not checked, and that were valid before, palloc'd.
List *read_foreign_keys_aside();
void mark_foreign_key_done(int64 job, Oid key, TimestampTz started_at);

// Adds definitions that the job is to make, numbered from `first` on, by stage.
void add_definitions(int64 job, int32 first, std::span<const Definition> definitions);

// The first definition of a stage that is not made, and that no other worker is making: its row is
// locked to the end of the transaction. Palloc'd. If a table is given, one of that table, and only
// once all of its chunks are done.
struct ClaimedDefinition {
    int32 number;  // 0: none
    Definition definition;
};
ClaimedDefinition claim_definition(int64 job, Stage stage, int32 table);
bool has_definition_to_claim(int64 job, Stage stage, int32 table);

// The first stage that is not finished, up to this one, and how many of its definitions are not
// made. Stage::none: all are finished.
struct OpenStage {
    Stage stage;
    int count;
};
OpenStage next_stage(int64 job, Stage last);

// Whether the job has definitions of a stage, made or not.
bool has_stage(int64 job, Stage stage);

// OIDs of the indexes that the job has set aside and not rebuilt, palloc'd.
List *read_indexes_aside(int64 job);

// The sequences, by their names, quoted, whose values are not set yet.
struct Sequences {
    int count;
    int32 *numbers;
    const char **names;
};
Sequences read_unset_sequences(int64 job);
void replace_definition(int64 job, int32 number, const char *sql);

int count_done_definitions(int64 job);
void mark_definition_done(int64 job, int32 number, TimestampTz started_at);

// Moves a job from state copying to state indexing.
void begin_indexing(int64 job);

// Moves an ended or interrupted job back to state copying. From then on, its chunks, done or not,
// are as of the snapshot of these markers,
void begin_again(int64 job, const Request &request, const SourceMarkers &markers);
// and this table of it has these markers and files.
void begin_table_again(int64 job, int32 table, const TableMarkers &markers,
                       const TargetFiles &files);

// Adds files to those of a table's target, of new partitions.
void add_target_files(int64 job, int32 table, const TargetFiles &files);

// Adds the snapshot to the markers of a job.
void write_snapshot(int64 job, const char *snapshot);

// Writes what the job's owner should know about a topic; nullptr: nothing any more. A job has one
// notice per topic, each with one writer, so that no writer overwrites another's.
// fastcopy.status shows them all.
void write_notice(int64 job, const char *topic, const char *text);

// Deletes the notices of a job whose topics begin so.
void delete_notices(int64 job, const char *topic_prefix);

// Ends a job; `error` is given for state failed only. An ERROR if the state is done and a chunk, a
// definition or a foreign key is not.
void end_job(int64 job, State state, const pg::ErrorReport *error);

// A table of a job: its names and target, how its rows are sent, and the target's files as the
// ledger has them. Palloc'd.
struct TableRow {
    Table table;
    plan::RowShape shape;
    TargetFiles files;
    int chunks;
};
TableRow read_table(int64 job, int32 number);

// The targets of a job, palloc'd.
struct Target {
    Oid relid;
    const char *name;
    bool by_insert;  // written by INSERT, not by COPY FROM
};
struct Targets {
    int count;
    Target *targets;
};
Targets read_targets(int64 job);

// A chunk of a job, palloc'd. An ERROR if it does not exist.
plan::Chunk read_chunk(int64 job, int32 number);

// Of so many chunks, from a number on, those that are not done, each with its table. Palloc'd.
struct ChunkOfTable {
    plan::Chunk chunk;
    TableRow table;
};
std::span<ChunkOfTable> read_undone_chunks(int64 job, int32 first, int32 count);

// The last chunk of the job that is not the only one of one of these tables; 0: none.
int32 last_chunk_of_others(int64 job, std::span<const int32> tables);

// What a worker reports of a chunk that it has copied.
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

// Marks chunks done. An ERROR if one is done already: its rows would be there twice.
void mark_done(int64 job, std::span<const CopiedChunk> chunks);

// A job's row. Strings are palloc'd.
struct JobRow {
    bool found;
    Oid owner;
    const char *state;
    int64 rows;  // read, of chunks that are done
    bool has_error;
    const char *notice;  // nullptr: none
};
JobRow read_job(int64 job);

// What resuming a table needs.
struct ResumeTable {
    const char *source_table;
    const char *target_table;
    Oid target;
    TableMarkers markers;
    TargetFiles files;
    int chunks;
    int chunks_done;
};

// What resuming a job needs; an ERROR if the job is not in the ledger. All palloc'd.
struct ResumeState {
    Oid owner;
    const char *state;
    const char *source;  // without any password, or the name of a server
    int ntables;
    ResumeTable *tables;
    int workers;
    bool triggers;
    bool statistics;
    bool rebuild_indexes;
    const char *source_encoding;  // as in Request
    bool sequences;
    bool clone;   // as in Request
    bool create;  // likewise
    int definitions;
    int definitions_done;
    int chunks;
    SourceMarkers markers;
    bool unlogged_emptied;  // by a crash, with what is unlogged of the targets
    int chunks_done;
    int64 rows;        // of chunks that are done
    int64 bytes;       // likewise
    bool unresolved;   // other servers may have stored rows of a chunk that is not done
    int chunks_short;  // done, with fewer or more rows than were sent, though the target drops none
};
ResumeState read_resume_state(int64 job);

// The snapshot of the source that the job's done chunks are as of; nullptr if it is not known.
const char *read_source_snapshot(int64 job);

// An ERROR if the job is done.
void raise_if_done(int64 job, const ResumeState &state);

// The numbers of the chunks that are done, palloc'd.
Bitmapset *read_done_chunks(int64 job);

// The source relations of the chunks of a table that are done, as in plan::Chunk.
struct Relation {
    const char *name;
    bool only;
};
struct Relations {
    int count;
    Relation *relations;
};
Relations read_done_relations(int64 job, int32 table);

// Raises a failed job's error again.
void raise_error(int64 job);

// IDs, palloc'd, of jobs that a previous server run left running; call it only when no job can be
// live. Excludes jobs resumed most_vain_resumes times in a row without progress.
int64 *unfinished_jobs(int most_vain_resumes, int *count);

// How far fastcopy.sync has copied a pair of tables, or is going to: see run/sync.hpp.
struct Watermark {
    bool found;
    int64 job;              // the run that has reached it, or is to; 0: none
    const char *job_state;  // nullptr: the job is no longer in the ledger
    Oid owner;
    const char *key;
    const char *filter;         // as given; nullptr: all rows
    const char *value;          // the greatest key; nullptr: there was no row
    const char *snapshot;       // of the run
    const char *base_snapshot;  // of the last run that has looked at all rows
    const char *server;
    const char *position;
    const char *epoch;    // of the counters
    const char *members;  // a hash of the source table's partitions or children
    int64 inserted;       // just before the base snapshot
    int64 rows_found;     // since then, above the watermark of the time
    int64 updated;        // just before the snapshot
    int64 deleted;
    bool must_scan;  // the next run looks at all rows
    bool was_open;   // transactions were in progress that the snapshot does not list
    Oid source_oid;  // of the source table; InvalidOid: not known
};

// The watermark that the pair of the request has reached (done), or that a run has not reached yet.
Watermark read_watermark(const Request &request, bool done);

// Writes the watermark that a run is to reach or, if done, has reached: it had nothing to copy.
void add_watermark(const Request &request, const Watermark &next, bool done);

// The name of the source table, by another watermark of the request's target for the same table of
// the same server; nullptr if none.
const char *find_other_watermark(const Request &request, const char *server, Oid source_oid);

// Notes a run that has found nothing new.
void touch_watermark(const Request &request, int64 updated, int64 deleted);

// Whether the job is a run of fastcopy.sync that is not done.
bool is_sync_run(int64 job);

// The last job that has copied all of the request's rows into its target, and whose snapshot is
// known.
struct Adoptable {
    bool found;
    int64 job;
    const char *server;
    const char *snapshot;
    const char *position;
};
Adoptable find_adoptable(const Request &request);

// Removes jobs that have ended so long ago, but for those that a watermark refers to.
void prune_jobs(int keep_minutes);

// Removes a job's rows.
void remove_job(int64 job);

}  // namespace fastcopy::job::ledger

#endif
