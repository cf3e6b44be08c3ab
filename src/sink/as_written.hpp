// Reading values as the source wrote them.
//
// A job runs with the settings of the session that called, as COPY typed there would: the text '03/04/2024' of a
// source's text column becomes the date that this session's DateStyle says. A date of the source, however, must
// become the same date whatever the session's settings are. Most types see to that themselves: the source's session is
// told to write what is read alike everywhere (ISO dates, time zones as offsets, intervals in the style `postgres`).
// Two settings are left:
//
//   array_nulls    off takes NULL in an array for a string
//   xmloption      `document` refuses what is no document, in text and in binary
//
// Columns whose values are in their type's own format, not a string's content, are read as if these had their default
// values. That holds for the input function only; triggers, checks and defaults see the session's.
#ifndef FASTCOPY_SINK_AS_WRITTEN_HPP
#define FASTCOPY_SINK_AS_WRITTEN_HPP

#include "pg/postgres.hpp"

namespace fastcopy::sink {

// Puts the input or receive function of a column of this type into a wrapper, allocated in the current memory
// context, if the session's settings would make a difference.
void read_as_written(FmgrInfo *function, Oid type);

}  // namespace fastcopy::sink

#endif
