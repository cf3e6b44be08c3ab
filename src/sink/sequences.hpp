// The sequences that give the target's columns their values: moved on to where the copied rows have come.
//
// COPY writes the values of a serial or identity column as they are, and never asks its sequence: the next INSERT would
// be given a value that a copied row has. So each sequence that a copied column owns is moved to the column's last
// value. Rules:
//
//   - Never back: the direction is that of the increment, and a sequence that is further on stays where it is.
//   - Only values count that the sequence could give out: within its MINVALUE and MAXVALUE.
//   - In step: the new value is one that the sequence would have come to (a sequence of odd numbers stays one).
//   - As the current role: whatever it may not do is left to somebody else, and said.
//
// Between reading a sequence and setting it, nobody may draw from it. nextval holds a lock on the sequence until its
// transaction ends, so a stronger one keeps it out; setval itself, being not transactional, cannot tell.
//
// What other sessions have cached (CACHE above 1) they still give out: as after any setval.
#ifndef FASTCOPY_SINK_SEQUENCES_HPP
#define FASTCOPY_SINK_SEQUENCES_HPP

#include "pg/postgres.hpp"

namespace fastcopy::sink {

struct ColumnSequence {
    Oid oid;
    const char *name;  // quoted, schema-qualified
    AttrNumber attnum;
    const char *column;  // quoted
    int64 increment;
    int64 least;
    int64 greatest;
    const char *statement;  // that moves it, for people
};

struct ColumnSequences {
    int count;
    ColumnSequence *sequences;
};

// Those that the named columns of the target own, palloc'd. None if the table is gone.
ColumnSequences find_sequences(Oid target, int ncolumns, const char *const *columns);

// Moves one on if it must be. Returns why the current role could not do so, or nullptr. Waits for other
// transactions that have drawn from it, as long as lock_timeout lets it.
const char *move_on(Oid target, const ColumnSequence &sequence);

}  // namespace fastcopy::sink

#endif
