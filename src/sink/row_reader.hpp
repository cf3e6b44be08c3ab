// The row reader: binary COPY bytes in, the values of rows out.
//
// It accepts and rejects what PostgreSQL's own binary COPY FROM does, but decodes the most common
// types in place, without a copy and without a call: COPY copies each field twice and calls its
// type's receive function through the function manager, which is most of its cost. The receive
// function still reads, and reports errors of, all other values: unusual ones (another length, a
// timestamp near the limits, jsonb in another form than jsonb is printed in), types that are not on
// the list, and types with a type modifier to enforce.
//
// Values that are not passed by value are allocated in the memory context that is current when a
// row is read; the reader itself keeps its buffers, but nothing of a row.
#ifndef FASTCOPY_SINK_ROW_READER_HPP
#define FASTCOPY_SINK_ROW_READER_HPP

#include "core/byte_window.hpp"
#include "core/jsonb_form.hpp"
#include "sink/byte_source.hpp"

namespace fastcopy::sink {

// How the bytes of a field become a value.
enum class Decoding {
    call,
    boolean,
    int2,
    int4,
    int8,
    oid,
    float4,
    float8,
    numeric,
    date,
    time,
    instant,
    uuid,
    text,
    bytes,
    jsonb
};

struct Field {
    Decoding decoding;
    int attribute;   // index into the row's values
    int most_bytes;  // text: always within its declared length; -1: any
    int precision;   // numeric: declared; -1: any
    int scale;
    FmgrInfo receive;
    Oid io_param;
    int32 typmod;
};

struct RowReader {
    core::ByteWindow window;
    int nfields;
    Field *fields;
    int nabsent;           // columns of the target that are not in the stream
    int *absent;           // their indexes into the row's values
    core::JsonbDesk desk;  // for fields of jsonb
    int field;             // at hand, for error messages; -1 between fields
};

// A reader of rows with these attributes of the target, in this order. It and its buffer are
// allocated in the current memory context, and so is what receive functions keep.
RowReader *make_row_reader(TupleDesc tupdesc, int nfields, const AttrNumber *attributes,
                           const ByteSource &source);

// Reads the header of a binary COPY; anything else is an ERROR.
void read_header(RowReader *reader);

// Reads a row into the arrays and sets every element: columns that are not in the stream become
// NULL. False at the end.
bool read_row(RowReader *reader, Datum *values, bool *nulls);

}  // namespace fastcopy::sink

#endif
