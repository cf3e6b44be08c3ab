// Talking to the ledger's tables: SPI as their owner, parameters in, fields of the result out. For the
// ledger_*.cpp files only; what others may do with the ledger is in ledger.hpp.
#ifndef FASTCOPY_JOB_LEDGER_SESSION_HPP
#define FASTCOPY_JOB_LEDGER_SESSION_HPP

#include "pg/identity.hpp"

namespace fastcopy::job::ledger {

constexpr int max_params = 32;

// Collects the parameters of one statement.
struct Params {
    int count = 0;
    Oid types[max_params];
    Datum values[max_params];
    char nulls[max_params];

    void add(Oid type, Datum value, bool is_null = false) {
        Assert(count < max_params);
        types[count] = type;
        values[count] = value;
        nulls[count] = is_null ? 'n' : ' ';
        count++;
    }
    void add_text(const char *text) {
        add(TEXTOID, text != nullptr ? CStringGetTextDatum(text) : 0, text == nullptr);
    }
    void add_int8(int64 value, bool is_null = false) {
        add(INT8OID, Int64GetDatum(value), is_null);
    }
    void add_int4(int32 value, bool is_null = false) {
        add(INT4OID, Int32GetDatum(value), is_null);
    }
    void add_bool(bool value) { add(BOOLOID, BoolGetDatum(value)); }
    void add_oid(Oid value) { add(OIDOID, ObjectIdGetDatum(value)); }
    void add_time(TimestampTz value, bool is_null = false) {
        add(TIMESTAMPTZOID, TimestampTzGetDatum(value), is_null);
    }
};

// A session with the ledger: SPI, as the ledger's owner, with a search_path that nobody else can write to.
struct Session {
    pg::OwnerScope scope;
};
Session open();
void close(const Session &session);

// Runs a statement in the current snapshot; an ERROR unless SPI answers as expected.
void run(const char *sql, Params *params, int expected);

// Reads with the newest snapshot, so that REPEATABLE READ callers see what jobs have committed.
void read(const char *sql, Params *params);

// Fields of the first result row: as text in `context`, nullptr when NULL; as they are; as numbers; as C
// strings in the current memory context.
const char *field(int column, MemoryContext context);
Datum field_datum(int column, bool *is_null);
int64 field_int8(int column, int64 when_null);
const char **field_texts(int column, int *count);

Datum text_array(const char **texts, int count);
Datum oid_array(const Oid *oids, int count);

[[noreturn]] void raise_gone(int64 job);

}  // namespace fastcopy::job::ledger

#endif
