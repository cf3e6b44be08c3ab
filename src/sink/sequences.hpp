// The sequences owned by the target's columns: advanced past the copied values.
//
// COPY writes the values of a serial or identity column as they are and does not touch its
// sequence, so that a later INSERT would draw a value that a copied row has. Each sequence that a
// copied column owns is therefore advanced to the column's last value. Rules:
//
//   - Never back: the direction is that of the increment, and a sequence that is further along
//     stays.
//   - Only values count that the sequence can generate: within its MINVALUE and MAXVALUE.
//   - In step: the new value is one that the sequence would have reached (a sequence of odd numbers
//     stays one).
//   - As the current role: if it lacks a privilege, the sequence is left alone, and reported.
//
// While a sequence is read and set, no other session may draw from it. nextval holds a lock on the
// sequence until its transaction ends, so a stronger lock excludes it; setval is not transactional
// and cannot.
//
// Values that other sessions have cached (CACHE above 1) are still given out, as after any setval.
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
    const char *statement;  // that advances it, for messages
};

struct ColumnSequences {
    int count;
    ColumnSequence *sequences;
};

// The sequences owned by the named columns of the target, palloc'd. None if the table was dropped.
ColumnSequences find_sequences(Oid target, int ncolumns, const char *const *columns);

// Advances a sequence if it is behind. Returns why the current role could not do so, or nullptr.
// Waits, up to lock_timeout, for transactions that have drawn from it.
const char *advance(Oid target, const ColumnSequence &sequence);

}  // namespace fastcopy::sink

#endif
