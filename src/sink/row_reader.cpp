#include "sink/row_reader.hpp"

#include <bit>

namespace fastcopy::sink {

namespace {

constexpr int capacity = 65536;

constexpr char signature[] = "PGCOPY\n\377\r\n";  // with its terminating zero: 11 bytes
static_assert(sizeof(signature) == 11);

// Values within are valid in every time zone; others are left to the receive function.
constexpr int64 ordinary_instant = INT64CONST(200000000000000000);  // microseconds: 6300 years
constexpr int32 ordinary_date = 2000000;                            // days: 5400 years

template <typename T>
T load(const char *bytes) {
    T value;
    memcpy(&value, bytes, sizeof(T));
    if constexpr (sizeof(T) == 2)
        return static_cast<T>(pg_ntoh16(static_cast<uint16>(value)));
    else if constexpr (sizeof(T) == 4)
        return static_cast<T>(pg_ntoh32(static_cast<uint32>(value)));
    else
        return static_cast<T>(pg_ntoh64(static_cast<uint64>(value)));
}

[[noreturn]] void raise_end() {
    ereport(ERROR, (errcode(ERRCODE_BAD_COPY_FILE_FORMAT), errmsg("unexpected EOF in COPY data")));
}

// The next bytes, which stay where they are until more are asked for.
inline char *take(RowReader *reader, int size) {
    char *bytes = core::take(&reader->window, size);
    if (unlikely(bytes == nullptr))
        raise_end();
    return bytes;
}

// Reads bytes into memory of the caller: those of a field that the buffer cannot hold.
void take_into(RowReader *reader, char *target, int size) {
    if (!core::take_into(&reader->window, target, size))
        raise_end();
}

Datum call_receive(Field *field, StringInfo bytes) {
    Datum value = ReceiveFunctionCall(&field->receive, bytes, field->io_param, field->typmod);
    if (bytes->cursor != bytes->len)
        ereport(ERROR, (errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
                        errmsg("incorrect binary data format")));
    return value;
}

// Has the type's receive function read bytes where they lie. It may count on a zero behind them.
pg_noinline Datum receive_in_place(Field *field, char *bytes, int size) {
    StringInfoData view{};
    view.data = bytes;
    view.len = size;
    view.maxlen = size + 1;
    char behind = bytes[size];
    bytes[size] = '\0';
    Datum value = call_receive(field, &view);
    bytes[size] = behind;
    return value;
}

Datum make_varlena(const char *bytes, int size) {
    auto *value = static_cast<varlena *>(palloc(VARHDRSZ + size));
    SET_VARSIZE(value, VARHDRSZ + size);
    memcpy(VARDATA(value), bytes, size);
    return PointerGetDatum(value);
}

bool is_plain_text(const Field &field, int size) {
    return field.decoding == Decoding::text && (field.most_bytes < 0 || size <= field.most_bytes);
}

// A field that the buffer cannot hold.
pg_noinline Datum read_large(RowReader *reader, Field *field, int size) {
    if (is_plain_text(*field, size) || field->decoding == Decoding::bytes) {
        // One too large to be a value is an error of palloc's, as in COPY.
        auto *value = static_cast<varlena *>(palloc(static_cast<Size>(size) + VARHDRSZ));
        SET_VARSIZE(value, VARHDRSZ + size);
        take_into(reader, VARDATA(value), size);
        if (field->decoding == Decoding::text)
            (void)pg_verifymbstr(VARDATA(value), size, false);
        return PointerGetDatum(value);
    }
    StringInfoData bytes;
    initStringInfo(&bytes);
    enlargeStringInfo(&bytes, size);
    take_into(reader, bytes.data, size);
    bytes.len = size;
    bytes.data[size] = '\0';
    Datum value = call_receive(field, &bytes);
    pfree(bytes.data);
    return value;
}

Datum decode(Field *field, char *bytes, int size) {
    switch (field->decoding) {
        case Decoding::boolean:
            if (size == 1)
                return BoolGetDatum(*bytes != 0);
            break;
        case Decoding::int2:
            if (size == 2)
                return Int16GetDatum(load<int16>(bytes));
            break;
        case Decoding::int4:
            if (size == 4)
                return Int32GetDatum(load<int32>(bytes));
            break;
        case Decoding::int8:
            if (size == 8)
                return Int64GetDatum(load<int64>(bytes));
            break;
        case Decoding::float8:
            if (size == 8)
                return Float8GetDatum(std::bit_cast<float8>(load<int64>(bytes)));
            break;
        case Decoding::date:
            if (size == 4) {
                int32 days = load<int32>(bytes);
                if (days > -ordinary_date && days < ordinary_date)
                    return DateADTGetDatum(days);
            }
            break;
        case Decoding::instant:
            if (size == 8) {
                int64 instant = load<int64>(bytes);
                if (instant > -ordinary_instant && instant < ordinary_instant)
                    return TimestampTzGetDatum(instant);
            }
            break;
        case Decoding::uuid:
            if (size == UUID_LEN) {
                void *value = palloc(UUID_LEN);
                memcpy(value, bytes, UUID_LEN);
                return PointerGetDatum(value);
            }
            break;
        case Decoding::text:
            if (is_plain_text(*field, size)) {
                (void)pg_verifymbstr(bytes, size, false);
                return make_varlena(bytes, size);
            }
            break;
        case Decoding::bytes:
            return make_varlena(bytes, size);
        case Decoding::call:
            break;
    }
    return receive_in_place(field, bytes, size);
}

Decoding decoding_of(Oid type, int32 typmod, int *most_bytes) {
    *most_bytes = -1;
    switch (type) {
        case BOOLOID:
            return Decoding::boolean;
        case INT2OID:
            return Decoding::int2;
        case INT4OID:
            return Decoding::int4;
        case INT8OID:
            return Decoding::int8;
        case FLOAT8OID:
            return Decoding::float8;
        case DATEOID:
            return Decoding::date;
        case TIMESTAMPOID:
        case TIMESTAMPTZOID:
            return typmod < 0 ? Decoding::instant : Decoding::call;
        case UUIDOID:
            return Decoding::uuid;
        case TEXTOID:
            return Decoding::text;
        case VARCHAROID:
            // As many bytes are at most as many characters.
            if (typmod >= VARHDRSZ)
                *most_bytes = typmod - VARHDRSZ;
            return Decoding::text;
        case BYTEAOID:
            return Decoding::bytes;
        default:
            return Decoding::call;
    }
}

}  // namespace

RowReader *make_row_reader(TupleDesc tupdesc, int nfields, const AttrNumber *attributes,
                           const ByteSource &source) {
    auto *reader = static_cast<RowReader *>(palloc0(sizeof(RowReader)));
    reader->nfields = nfields;
    reader->fields = static_cast<Field *>(palloc0(sizeof(Field) * Max(nfields, 1)));
    reader->window.read = source.read;
    reader->window.self = source.self;
    reader->window.buffer =
        static_cast<char *>(palloc(capacity + 1));  // and a zero, see receive_in_place
    reader->window.capacity = capacity;
    reader->field = -1;
    for (int i = 0; i < nfields; i++) {
        Field *field = &reader->fields[i];
        Form_pg_attribute attribute = TupleDescAttr(tupdesc, attributes[i] - 1);
        field->attribute = attributes[i] - 1;
        field->typmod = attribute->atttypmod;
        field->decoding =
            decoding_of(attribute->atttypid, attribute->atttypmod, &field->most_bytes);
        Oid function;
        getTypeBinaryInputInfo(attribute->atttypid, &function, &field->io_param);
        fmgr_info(function, &field->receive);
    }
    return reader;
}

void read_header(RowReader *reader) {
    auto bad_header = [](const char *message) {
        ereport(ERROR, (errcode(ERRCODE_BAD_COPY_FILE_FORMAT), errmsg_internal("%s", message)));
    };
    core::ByteWindow *window = &reader->window;
    const char *bytes = core::take(window, sizeof(signature));
    if (bytes == nullptr || memcmp(bytes, signature, sizeof(signature)) != 0)
        bad_header("COPY file signature not recognized");
    bytes = core::take(window, 4);
    if (bytes == nullptr)
        bad_header("invalid COPY file header (missing flags)");
    // The upper half of the flags changes what follows, and no flag of it is known any more.
    uint32 flags = load<uint32>(bytes) >> 16;
    if ((flags & 1) != 0)
        bad_header("invalid COPY file header (WITH OIDS)");
    if (flags != 0)
        bad_header("unrecognized critical flags in COPY file header");
    bytes = core::take(window, 4);
    int32 extension = bytes != nullptr ? load<int32>(bytes) : -1;
    if (extension < 0)
        bad_header("invalid COPY file header (missing length)");
    while (extension > 0) {
        int32 piece = Min(extension, capacity);
        if (core::take(window, piece) == nullptr)
            bad_header("invalid COPY file header (wrong length)");
        extension -= piece;
    }
}

bool read_row(RowReader *reader, Datum *values, bool *nulls) {
    // A file may end without a trailer; a stream that has no more to say has said so.
    if (!core::has_more(&reader->window))
        return false;
    int count = load<int16>(take(reader, 2));
    if (count == -1) {
        if (core::has_more(&reader->window))
            ereport(ERROR, (errcode(ERRCODE_BAD_COPY_FILE_FORMAT),
                            errmsg("received copy data after EOF marker")));
        return false;
    }
    if (count != reader->nfields)
        ereport(ERROR, (errcode(ERRCODE_BAD_COPY_FILE_FORMAT),
                        errmsg("row field count is %d, expected %d", count, reader->nfields)));

    for (int i = 0; i < count; i++) {
        Field *field = &reader->fields[i];
        reader->field = i;
        int32 size = load<int32>(take(reader, 4));
        bool is_null = size == -1;
        nulls[field->attribute] = is_null;
        if (is_null)
            // A domain may refuse NULL.
            values[field->attribute] =
                field->decoding == Decoding::call
                    ? ReceiveFunctionCall(&field->receive, nullptr, field->io_param, field->typmod)
                    : 0;
        else if (size < 0)
            ereport(ERROR, (errcode(ERRCODE_BAD_COPY_FILE_FORMAT), errmsg("invalid field size")));
        else if (size <= capacity)
            values[field->attribute] = decode(field, take(reader, size), size);
        else
            values[field->attribute] = read_large(reader, field, size);
    }
    reader->field = -1;
    return true;
}

}  // namespace fastcopy::sink
