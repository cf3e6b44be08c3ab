// Foreign keys of partitioned tables, added without a look at the rows and validated by one query.
//
// PostgreSQL adds such a key NOT VALID from version 18 on only. Before, ADD FOREIGN KEY checks the
// rows of each partition by a query of its own, one after the other, even if the referenced table is
// far larger than the partition; unless the partition has the same key already, and it is valid: then
// that becomes a part of the new one. From version 18 on, VALIDATE CONSTRAINT still checks partition
// by partition.
#ifndef FASTCOPY_SINK_PARTITIONED_KEY_HPP
#define FASTCOPY_SINK_PARTITIONED_KEY_HPP

#include "pg/postgres.hpp"

namespace fastcopy::sink {

// Runs an ALTER TABLE ... ADD CONSTRAINT ... FOREIGN KEY ... NOT VALID of a partitioned table. Keys of
// its partitions that have been added like that become parts of it. False if the statement is another.
bool add_partitioned_key(const char *sql);

// Runs the VALIDATE CONSTRAINT of such a key, likewise.
bool validate_partitioned_key(const char *sql);

}  // namespace fastcopy::sink

#endif
