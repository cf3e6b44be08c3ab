// Access to the ledger's tables: SPI as their owner, parameters in, fields of the result out. For
// the ledger*.cpp files only: ledger.hpp has what others may do with the ledger.
#ifndef FASTCOPY_JOB_LEDGER_SESSION_HPP
#define FASTCOPY_JOB_LEDGER_SESSION_HPP

#include "pg/arrays.hpp"

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

// A row to insert: a value per named column.
struct Row : Params {
    const char *columns[max_params];

    // Names the column of the value that is added next.
    Row &column(const char *name) {
        Assert(count < max_params);
        columns[count] = name;
        return *this;
    }
};

// A session with the ledger: SPI, as the ledger's owner, with a search_path that no other role can
// write to. An error needs no clean-up: PostgreSQL restores user and settings as it aborts the
// transaction.
struct Session {
    Oid role;
    int sec_context;
    int guc_nest_level;
};
Session open();
void close(const Session &session);

// Runs a statement in the current snapshot; an ERROR unless SPI returns the expected code.
void run(const char *sql, Params *params, int expected);

// Reads with the newest snapshot, so that REPEATABLE READ callers see what jobs have committed.
void read(const char *sql, Params *params);

// The INSERT statement of rows with these columns; inserts one row.
char *insert_statement(const char *table, const Row &row);
void insert(const char *table, Row *row);

// Inserts rows with the same columns, by one plan: for many rows of one table, within a session. What
// is allocated for a row may be freed after it.
struct Inserter {
    const char *table;
    SPIPlanPtr plan;

    void insert(Row *row);
};

// Fields of a result row by their columns' names: as text in `context`, nullptr when NULL; as they
// are; as a bigint; as a boolean; as an array of C strings in the current memory context.
const char *field(const char *column, MemoryContext context, uint64 row = 0);
Datum field_datum(const char *column, bool *is_null, uint64 row = 0);
int64 field_int8(const char *column, int64 when_null, uint64 row = 0);
bool field_bool(const char *column, uint64 row = 0);
const char **field_texts(const char *column, int *count, uint64 row = 0);

using pg::bool_array;
using pg::int4_array;
using pg::int8_array;
using pg::oid_array;
using pg::text_array;

[[noreturn]] void raise_gone(int64 job);

}  // namespace fastcopy::job::ledger

#endif
