// Reading values as the source wrote them.
//
// A job runs under the settings of the calling session, as COPY in that session would: the text
// '03/04/2024' of a text column becomes the date that the session's DateStyle makes of it. A date
// of the source, however, must become the same date under any settings. For most types the source's
// session ensures this: its settings make it emit ISO dates, time zones as offsets, and intervals
// in the style `postgres`. Two settings of the target remain:
//
//   array_nulls    off: reads NULL in an array as a string
//   xmloption      `document`: rejects content that is no document, in text and in binary
//
// Columns whose values are in their type's own format are read as if these had their default
// values. This holds for the input functions only; triggers, checks and defaults see the session's
// values.
#ifndef FASTCOPY_SINK_AS_WRITTEN_HPP
#define FASTCOPY_SINK_AS_WRITTEN_HPP

#include "pg/postgres.hpp"

namespace fastcopy::sink {

// Wraps the input or receive function of a column of this type, if the session's settings would
// make a difference. The wrapper is allocated in the current memory context.
void read_as_written(FmgrInfo *function, Oid type);

}  // namespace fastcopy::sink

#endif
