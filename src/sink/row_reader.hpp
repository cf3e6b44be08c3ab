// The row reader: binary COPY bytes in, the values of rows out.
//
// It reads what PostgreSQL's own binary COPY FROM reads and refuses what that refuses, but decodes the
// commonest types where their bytes lie, without a copy and without a call: COPY copies each field twice and
// calls its type's receive function through the function manager, which is most of what it costs. A
// value that is not quite ordinary (another length, a timestamp near the limits, jsonb that is not written as
// jsonb is printed), a type that is not on the list or has a type modifier to obey: these go to the receive
// function, which is what decides and complains.
//
// Values that are not passed by value are allocated in the memory context that is current when a row is
// read; the reader itself keeps its buffers, and nothing of a row.
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
    int most_bytes;  // text: what its declared length allows whatever the characters; -1: any
    int precision;   // numeric: as declared; -1: any
    int scale;
    FmgrInfo receive;
    Oid io_param;
    int32 typmod;
};

struct RowReader {
    core::ByteWindow window;
    int nfields;
    Field *fields;
    int nabsent;           // columns of the target that the stream does not have
    int *absent;           // their indexes into the row's values
    core::JsonbDesk desk;  // if there is a field of jsonb
    int field;             // being decoded, for error messages; -1 between fields
};

// A reader of rows with these attributes of the target, in this order. It and its buffer are allocated
// in the current memory context, and so is what receive functions keep.
RowReader *make_row_reader(TupleDesc tupdesc, int nfields, const AttrNumber *attributes,
                           const ByteSource &source);

// Reads what stands before the rows. An ERROR if it is not the header of a binary COPY.
void read_header(RowReader *reader);

// Reads a row into the arrays and sets every element: columns that the stream does not have become
// NULL, whatever an earlier row has left there. False at the end.
bool read_row(RowReader *reader, Datum *values, bool *nulls);

}  // namespace fastcopy::sink

#endif
