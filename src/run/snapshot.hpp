// The job's snapshot of the source, and who holds it.
//
// All of a job's connections read by one snapshot. It lives as long as any transaction that has it: the
// coordinator's, which does nothing but hold it, and those of the workers. When the coordinator loses its
// connection (a firewall that forgets idle connections is enough), it asks; the next worker to begin a
// chunk exports the snapshot again from its own transaction, and the coordinator imports it and holds it
// from then on. Only when no connection is left is the snapshot lost, and with it the job.
//
//     held ──coordinator loses it──▶ wanted ──worker exports──▶ offered ──coordinator imports──▶ held
//          ──a worker finds it gone──▶
//
// A worker may notice first: the source tells it that there is no such snapshot, because the
// coordinator's session there has ended. It says so, and the coordinator gives its connection up. Workers
// that have no snapshot wait meanwhile; a wait is not a retry of their chunk.
//
// State and name are one: both change under the registry's lock, so that no process sees, or overwrites,
// the name of one state with that of another.
#ifndef FASTCOPY_RUN_SNAPSHOT_HPP
#define FASTCOPY_RUN_SNAPSHOT_HPP

#include "job/area.hpp"
#include "source/connection.hpp"

namespace fastcopy::run::snapshot {

enum class Custody : uint32 { held, wanted, offered };

Custody custody(job::Area *area);

// The coordinator has exported a snapshot, which this process holds.
void publish(job::Area *area, const char *name);

// The coordinator no longer holds it.
void want(job::Area *area);

// By a worker, whose transaction holds it: exports it again if the coordinator asked for that.
void offer_if_wanted(job::Area *area, source::Connection *connection, Latch *coordinator);

// By a worker: begins a transaction on the source by the job's snapshot, and waits for that as long as the
// snapshot changes hands. The coordinator ends the job, and with it the wait, if nobody has it any more.
void join(job::Area *area, source::Connection *connection, Latch *coordinator);

// Whether a source says by that error that it has no such snapshot, or none any more.
bool says_gone(int sqlerrcode);

// By the coordinator, on a new connection: joins what was offered, and holds it from now on. A connection
// error if the worker that offered it has lost its connection meanwhile.
void take_over(job::Area *area, source::Connection *connection);

}  // namespace fastcopy::run::snapshot

#endif
