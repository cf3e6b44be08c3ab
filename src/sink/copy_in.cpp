#include "sink/copy_in.hpp"

#include <algorithm>

#include "pg/copy_batch.hpp"
#include "sink/as_written.hpp"
#include "sink/insert_in.hpp"
#include "sink/local_sql.hpp"
#include "sink/plain_insert.hpp"
#include "sink/writer.hpp"

namespace fastcopy::sink {

namespace {

// The stream at hand: CopyFrom's data source callback has no argument for it. A process copies one
// stream at a time.
const ByteSource *current_source = nullptr;
CopyFromState current_copy = nullptr;
bool current_is_binary = false;

int read_source(void *buffer, int minread, int maxread) {
    int filled = 0;
    while (filled < Max(minread, 1)) {
        int got = current_source->read(current_source->self, static_cast<char *>(buffer) + filled,
                                       maxread - filled);
        if (got == 0)
            break;
        filled += got;
    }
    if (current_is_binary && current_copy != nullptr)
        pg::note_row_size(current_copy, current_source->largest_row(current_source->self));
    return filled;
}

void add_option(List **options, const char *name, const char *value) {
    auto *node = reinterpret_cast<Node *>(makeString(pstrdup(value)));
    *options = lappend(*options, makeDefElem(pstrdup(name), node, -1));
}

// Inserts a row of defaults and generated columns per line of the stream. COPY FROM would take an
// empty list of columns for all columns.
uint64 insert_empty_rows(Relation target, const ByteSource &source) {
    char buffer[8192];
    int64 rows = 0;
    while (int got = source.read(source.self, buffer, sizeof(buffer)))
        rows += std::count(buffer, buffer + got, '\n');

    if (SPI_connect() != SPI_OK_CONNECT)
        elog(ERROR, "SPI_connect failed");
    const char *sql =
        psprintf("INSERT INTO %s SELECT FROM pg_catalog.generate_series(1, '" INT64_FORMAT
                 "'::pg_catalog.int8)",
                 quoted_relation(RelationGetRelid(target)), rows);
    int result = SPI_execute(sql, false, 0);
    if (result != SPI_OK_INSERT)
        elog(ERROR, "%s: %s", sql, SPI_result_code_string(result));
    uint64 inserted = SPI_processed;
    SPI_finish();
    return inserted;
}

}  // namespace

bool takes_fast_path(Relation target, int ncolumns, const char *const *columns, bool binary) {
    return binary && can_insert_plainly(target, ncolumns, columns);
}

CopyFromState begin_parsing(Relation target, ParseState *pstate, int ncolumns,
                            const char *const *columns, const bool *as_written, bool binary,
                            const char *encoding, const ByteSource &source) {
    List *names = NIL;
    for (int i = 0; i < ncolumns; i++)
        names = lappend(names, makeString(pstrdup(columns[i])));
    List *options = NIL;
    if (binary)
        add_option(&options, "format", "binary");
    else if (encoding != nullptr)
        add_option(&options, "encoding", encoding);

    current_source = &source;
    current_copy = nullptr;  // BeginCopyFrom reads the header before it returns the state
    current_is_binary = binary;
    current_copy =
        BeginCopyFrom(pstate, target, nullptr, nullptr, false, read_source, names, options);
    for (int i = 0; i < ncolumns; i++) {
        AttrNumber attnum = get_attnum(RelationGetRelid(target), columns[i]);
        if (as_written[i])
            read_as_written(&current_copy->in_functions[attnum - 1],
                            TupleDescAttr(RelationGetDescr(target), attnum - 1)->atttypid);
    }
    return current_copy;
}

uint64 copy_in(Relation target, ParseState *pstate, int ncolumns, const char *const *columns,
               const bool *as_written, bool binary, const char *encoding,
               const ByteSource &source) {
    if (ncolumns == 0)
        return insert_empty_rows(target, source);
    // Chosen again for each chunk: the table may have been distributed since the job was planned.
    Writer writer = choose_writer(target, ncolumns, columns);
    if (writer.way == Way::insert) {
        elog(DEBUG1, "copying into \"%s\" using INSERT: %s", RelationGetRelationName(target),
             writer.reason);
        return insert_in(target, pstate, ncolumns, columns, as_written, binary, encoding, writer,
                         source);
    }
    bool plainly = takes_fast_path(target, ncolumns, columns, binary);
    elog(DEBUG1, "copying into \"%s\" using %s", RelationGetRelationName(target),
         plainly ? "multi-insert" : "COPY FROM");
    if (plainly)
        return insert_plainly(target, pstate, ncolumns, columns, source);

    CopyFromState copy =
        begin_parsing(target, pstate, ncolumns, columns, as_written, binary, encoding, source);
    uint64 rows = CopyFrom(copy);
    current_copy = nullptr;
    EndCopyFrom(copy);
    return rows;
}

}  // namespace fastcopy::sink
