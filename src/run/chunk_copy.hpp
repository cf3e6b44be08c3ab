// What a worker does with one chunk: copy it, or, before a job is resumed, check that its rows on
// the source are unchanged.
//
//     copy    begin ── COPY out of the source → row stream → sink ── checks ── mark done ── commit
//     copy several of small tables
//             begin ── COPY out of the source → row stream → sink, for each ── checks ── mark all
//             done ── commit
//     check   begin ── count rows on the source ── commit
//
// Data flows one way, each part knowing only the next: connection, row stream, sink.
#ifndef FASTCOPY_RUN_CHUNK_COPY_HPP
#define FASTCOPY_RUN_CHUNK_COPY_HPP

#include "run/worker_state.hpp"

namespace fastcopy::run {

// Copies a chunk. All it allocates is freed with its transaction, whose memory is the current
// context.
void copy_chunk(Worker *worker, int32 number);

// Copies chunks of tables that fit together: is_small() of run/ways has found them so. False if one
// of them has to wait for a lock, or is written in another way by now: it needs its own transaction.
bool copy_chunks(Worker *worker, job::ClaimedChunks claim);

// An ERROR if the chunk is done and its rows on the source are not those that were copied.
void check_chunk(Worker *worker, int32 number);

}  // namespace fastcopy::run

#endif
