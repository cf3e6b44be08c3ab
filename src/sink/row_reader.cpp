#include "sink/row_reader.hpp"

#include <bit>

#include "core/binary_copy.hpp"
#include "core/decimal.hpp"
#include "sink/as_written.hpp"

namespace fastcopy::sink {

namespace {

constexpr int capacity = 65536;
constexpr int max_jsonb_nodes = 4096;
constexpr int max_jsonb_bytes = 4 * capacity;

// Values within are valid in every time zone; others are left to the receive function.
constexpr int64 ordinary_instant = INT64CONST(200000000000000000);  // microseconds: 6300 years
constexpr int32 ordinary_date = 2000000;                            // days: 5400 years

using core::load;

[[noreturn]] void raise_end() {
    ereport(ERROR, (errcode(ERRCODE_BAD_COPY_FILE_FORMAT), errmsg("unexpected EOF in COPY data")));
}

// The next bytes, valid until more are taken.
inline char *take(RowReader *reader, int size) {
    char *bytes = core::take(&reader->window, size);
    if (unlikely(bytes == nullptr))
        raise_end();
    return bytes;
}

inline int32 take_length(RowReader *reader) {
    int32 length;
    if (unlikely(!core::take_length(&reader->window, &length)))
        raise_end();
    return length;
}

// Reads the bytes of a field that does not fit into the buffer into memory of the caller.
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

// Calls the type's receive function on bytes in place. It may rely on a terminating zero.
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

// A value that is stored as its bytes are sent.
Datum copy_value(const char *bytes, int size) {
    void *value = palloc(size);
    memcpy(value, bytes, size);
    return PointerGetDatum(value);
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

// A field that does not fit into the buffer.
pg_noinline Datum read_large(RowReader *reader, Field *field, int size) {
    if (is_plain_text(*field, size) || field->decoding == Decoding::bytes) {
        // palloc rejects a field that is too large for a value, as in COPY.
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

// False if the value is left to the receive function.
bool make_numeric(const Field &field, const char *bytes, int size, Datum *value) {
    core::Decimal decimal;
    if (!core::read_decimal(bytes, size, &decimal) ||
        (field.precision >= 0 && !core::fits(decimal, field.precision, field.scale)))
        return false;
    char stored[core::max_stored_decimal];
    *value = copy_value(stored, core::store_decimal(decimal, stored));
    return true;
}

bool make_jsonb(const core::JsonbDesk &desk, const char *bytes, int size, Datum *value) {
    constexpr char version = 1;
    if (size < 1 || bytes[0] != version)
        return false;
    int stored = core::form_jsonb({bytes + 1, static_cast<Size>(size) - 1}, desk);
    if (stored == 0)
        return false;
    (void)pg_verifymbstr(bytes + 1, size - 1, false);
    *value = copy_value(desk.bytes, stored);
    return true;
}

Datum decode(const core::JsonbDesk &desk, Field *field, char *bytes, int size) {
    Datum value;
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
        case Decoding::oid:
            if (size == 4)
                return ObjectIdGetDatum(load<uint32>(bytes));
            break;
        case Decoding::float4:
            if (size == 4)
                return Float4GetDatum(std::bit_cast<float4>(load<int32>(bytes)));
            break;
        case Decoding::float8:
            if (size == 8)
                return Float8GetDatum(std::bit_cast<float8>(load<int64>(bytes)));
            break;
        case Decoding::numeric:
            if (make_numeric(*field, bytes, size, &value))
                return value;
            break;
        case Decoding::date:
            if (size == 4) {
                int32 days = load<int32>(bytes);
                if (days > -ordinary_date && days < ordinary_date)
                    return DateADTGetDatum(days);
            }
            break;
        case Decoding::time:
            if (size == 8) {
                int64 time = load<int64>(bytes);
                if (time >= 0 && time < USECS_PER_DAY)
                    return TimeADTGetDatum(time);
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
            if (size == UUID_LEN)
                return copy_value(bytes, size);
            break;
        case Decoding::text:
            if (is_plain_text(*field, size)) {
                (void)pg_verifymbstr(bytes, size, false);
                return make_varlena(bytes, size);
            }
            break;
        case Decoding::bytes:
            return make_varlena(bytes, size);
        case Decoding::jsonb:
            if (make_jsonb(desk, bytes, size, &value))
                return value;
            break;
        case Decoding::call:
            break;
    }
    return receive_in_place(field, bytes, size);
}

bool agrees(const char *bytes, int size, Datum postgres) {
    auto *theirs = static_cast<varlena *>(static_cast<void *>(DatumGetPointer(postgres)));
    return size == static_cast<int>(VARSIZE(theirs)) && memcmp(bytes, theirs, size) == 0;
}

// Whether this PostgreSQL stores numeric and jsonb in the form that is known here. A release that
// changes the form must not corrupt rows.
bool check_stored_forms() {
    constexpr char number[] = "-12345678.900";
    constexpr char json[] = R"({"a": [null, true, "\n", -0.50], "bc": {"d": 10000}})";
    core::Decimal decimal;
    alignas(int32) char bytes[1024];
    core::JsonbNode nodes[16];
    core::JsonbDesk desk{nodes, lengthof(nodes), bytes, sizeof(bytes)};
    Datum theirs = DirectFunctionCall3(numeric_in, CStringGetDatum(number),
                                       ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1));
    return core::parse_decimal(number, &decimal) &&
           agrees(bytes, core::store_decimal(decimal, bytes), theirs) &&
           agrees(bytes, core::form_jsonb(json, desk),
                  DirectFunctionCall1(jsonb_in, CStringGetDatum(json)));
}

bool knows_stored_forms() {
    static bool checked = false;
    static bool known = false;
    if (!checked) {
        known = check_stored_forms();
        checked = true;
        if (!known)
            elog(DEBUG1, "using the receive functions of numeric and jsonb");
    }
    return known;
}

// Reads numeric's type modifier; a scale below zero or of more than 1000 is left to PostgreSQL.
void read_numeric_typmod(int32 typmod, Field *field) {
    constexpr uint32 mask = 0x7FF;
    field->precision = -1;
    if (typmod < VARHDRSZ)
        return;
    auto packed = static_cast<uint32>(typmod - VARHDRSZ);
    field->precision = static_cast<int>(packed >> 16);
    field->scale = static_cast<int>(packed & mask);
}

core::JsonbDesk make_desk() {
    return core::JsonbDesk{
        static_cast<core::JsonbNode *>(palloc(sizeof(core::JsonbNode) * max_jsonb_nodes)),
        max_jsonb_nodes, static_cast<char *>(palloc(max_jsonb_bytes)), max_jsonb_bytes};
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
        case OIDOID:
            return Decoding::oid;
        case FLOAT4OID:
            return Decoding::float4;
        case FLOAT8OID:
            return Decoding::float8;
        case NUMERICOID:
            return knows_stored_forms() ? Decoding::numeric : Decoding::call;
        case DATEOID:
            return Decoding::date;
        case TIMEOID:
            return typmod < 0 ? Decoding::time : Decoding::call;
        case TIMESTAMPOID:
        case TIMESTAMPTZOID:
            return typmod < 0 ? Decoding::instant : Decoding::call;
        case UUIDOID:
            return Decoding::uuid;
        case TEXTOID:
            return Decoding::text;
        case VARCHAROID:
            // A value has at most as many characters as bytes.
            if (typmod >= VARHDRSZ)
                *most_bytes = typmod - VARHDRSZ;
            return Decoding::text;
        case BYTEAOID:
            return Decoding::bytes;
        case JSONBOID:
            return knows_stored_forms() ? Decoding::jsonb : Decoding::call;
        default:
            return Decoding::call;
    }
}

// Lists the columns that are not in the stream.
void list_absent(RowReader *reader, int natts) {
    auto *has_field = static_cast<bool *>(palloc0(sizeof(bool) * Max(natts, 1)));
    for (int i = 0; i < reader->nfields; i++)
        has_field[reader->fields[i].attribute] = true;
    reader->absent = static_cast<int *>(palloc(sizeof(int) * Max(natts, 1)));
    for (int i = 0; i < natts; i++)
        if (!has_field[i])
            reader->absent[reader->nabsent++] = i;
    pfree(has_field);
}

// COPY's own messages.
const char *complaint_about(core::Header header) {
    switch (header) {
        case core::Header::good:
            break;
        case core::Header::no_signature:
            return "COPY file signature not recognized";
        case core::Header::no_flags:
            return "invalid COPY file header (missing flags)";
        case core::Header::with_oids:
            return "invalid COPY file header (WITH OIDS)";
        case core::Header::unknown_flags:
            return "unrecognized critical flags in COPY file header";
        case core::Header::no_length:
            return "invalid COPY file header (missing length)";
        case core::Header::short_extension:
            return "invalid COPY file header (wrong length)";
    }
    pg_unreachable();
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
        if (field->decoding == Decoding::numeric)
            read_numeric_typmod(attribute->atttypmod, field);
        if (field->decoding == Decoding::jsonb && reader->desk.nodes == nullptr)
            reader->desk = make_desk();
        Oid function;
        getTypeBinaryInputInfo(attribute->atttypid, &function, &field->io_param);
        fmgr_info(function, &field->receive);
        // Binary values always are in their type's own format.
        read_as_written(&field->receive, attribute->atttypid);
    }
    list_absent(reader, tupdesc->natts);
    return reader;
}

void read_header(RowReader *reader) {
    core::Header header = core::take_header(&reader->window);
    if (header == core::Header::good)
        return;
    ereport(ERROR, (errcode(ERRCODE_BAD_COPY_FILE_FORMAT),
                    errmsg_internal("%s", complaint_about(header))));
}

bool read_row(RowReader *reader, Datum *values, bool *nulls) {
    int count = 0;
    core::RowStart start = core::begin_row(&reader->window, &count);
    if (unlikely(start != core::RowStart::row)) {
        if (start == core::RowStart::broken)
            raise_end();
        if (start == core::RowStart::more_at_end)
            ereport(ERROR, (errcode(ERRCODE_BAD_COPY_FILE_FORMAT),
                            errmsg("received copy data after EOF marker")));
        return false;
    }
    if (count != reader->nfields)
        ereport(ERROR, (errcode(ERRCODE_BAD_COPY_FILE_FORMAT),
                        errmsg("row field count is %d, expected %d", count, reader->nfields)));

    for (int i = 0; i < reader->nabsent; i++) {
        values[reader->absent[i]] = 0;
        nulls[reader->absent[i]] = true;
    }
    for (int i = 0; i < count; i++) {
        Field *field = &reader->fields[i];
        reader->field = i;
        int32 size = take_length(reader);
        bool is_null = size == core::null_field;
        nulls[field->attribute] = is_null;
        if (is_null)
            // A domain may reject NULL.
            values[field->attribute] =
                field->decoding == Decoding::call
                    ? ReceiveFunctionCall(&field->receive, nullptr, field->io_param, field->typmod)
                    : 0;
        else if (size < 0)
            ereport(ERROR, (errcode(ERRCODE_BAD_COPY_FILE_FORMAT), errmsg("invalid field size")));
        else if (size <= capacity)
            values[field->attribute] = decode(reader->desk, field, take(reader, size), size);
        else
            values[field->attribute] = read_large(reader, field, size);
    }
    reader->field = -1;
    return true;
}

}  // namespace fastcopy::sink
