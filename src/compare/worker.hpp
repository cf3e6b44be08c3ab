// A worker of a comparison: claims pieces of both sides and adds up the results of their queries.
//
//     worker 0, the leader:  connect to both sides, take the snapshots, make the plan
//     the others:            connect, import the snapshots, once they have claimed a piece
//     until no piece is left:
//         claim a piece of the source and one of the target
//         send the source's query ── run the target's ── collect the source's answer
//
// So each worker keeps a process on either side busy. The leader stays until all pieces are done:
// the others import the snapshots that its transactions hold. An error of any kind is recorded in
// the area and ends the worker; the caller ends the others. Nothing is retried: without the
// snapshot, earlier results are worthless.
#ifndef FASTCOPY_COMPARE_WORKER_HPP
#define FASTCOPY_COMPARE_WORKER_HPP

#include "pg/postgres.hpp"

namespace fastcopy::compare {

inline constexpr const char *worker_type = "fastcopy compare worker";

// Launches worker `number` of the comparison; false if no slot is free.
bool launch_worker(dsm_handle area, int number, BackgroundWorkerHandle **handle);

}  // namespace fastcopy::compare

extern "C" PGDLLEXPORT void fastcopy_compare_main(Datum argument);

#endif
