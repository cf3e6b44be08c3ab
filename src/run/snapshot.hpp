// The job's snapshot of the source, and which process holds it.
//
// All of a job's connections read under one snapshot. It lives as long as any transaction that uses
// it: the coordinator's, which does nothing but hold it, and those of the workers. If the
// coordinator loses its connection (idle connections may be dropped by a firewall), it requests the
// snapshot; the next worker to start a chunk exports it again from its own transaction, and the
// coordinator imports it and holds it from then on. Only when no connection is left is the snapshot
// lost, and with it the job.
//
//     held ──coordinator loses it──▶ wanted ──worker exports──▶ offered ──coordinator imports──▶
//          ──a worker finds it gone──▶                                                      held
//
// A worker may notice first: its import fails because the coordinator's session on the source has
// ended. It sets the state to wanted, and the coordinator closes its connection. Workers without a
// snapshot wait meanwhile; a wait does not count as a retry of their chunk.
//
// State and name change together under the registry's lock, so that no process reads, or
// overwrites, the name of one state with that of another.
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

// By a worker whose transaction holds it: exports it again if the coordinator has requested that.
void offer_if_wanted(job::Area *area, source::Connection *connection, Latch *coordinator);

// By a worker: begins a transaction on the source under the job's snapshot. Waits while the
// snapshot changes hands. If no connection holds it any more, the coordinator ends the job and its
// workers.
void join(job::Area *area, source::Connection *connection, Latch *coordinator);

// By the coordinator, on a new connection: imports the offered snapshot and holds it from then on.
// A connection error if the worker that has offered it lost its connection meanwhile.
void take_over(job::Area *area, source::Connection *connection);

}  // namespace fastcopy::run::snapshot

#endif
