#include "sink/copy_in.hpp"

#include "pg/copy_batch.hpp"
#include "sink/as_written.hpp"
#include "sink/plain_insert.hpp"

namespace fastcopy::sink {

namespace {

// CopyFrom's data source callback has no argument for its owner. A process copies one stream at a time,
// so the stream is here while it does.
const ByteSource *current_source = nullptr;
CopyFromState current_copy = nullptr;
bool current_is_binary = false;

int read_source(void *buffer, int minread, int maxread) noexcept {
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

}  // namespace

bool takes_fast_path(Relation target, int ncolumns, const char *const *columns, bool binary) {
    return binary && can_insert_plainly(target, ncolumns, columns);
}

uint64 copy_in(Relation target, ParseState *pstate, int ncolumns, const char *const *columns,
               const bool *as_written, bool binary, const ByteSource &source) {
    bool plainly = takes_fast_path(target, ncolumns, columns, binary);
    elog(DEBUG1, "rows of %s go %s", RelationGetRelationName(target),
         plainly ? "the short way" : "through COPY FROM");
    if (plainly)
        return insert_plainly(target, pstate, ncolumns, columns, source);

    List *names = NIL;
    for (int i = 0; i < ncolumns; i++)
        names = lappend(names, makeString(pstrdup(columns[i])));
    List *options = NIL;
    if (binary)
        options = lappend(options,
                          makeDefElem(pstrdup("format"),
                                      reinterpret_cast<Node *>(makeString(pstrdup("binary"))), -1));

    current_source = &source;
    current_copy = nullptr;  // BeginCopyFrom reads the header before it returns the state
    current_is_binary = binary;
    CopyFromState copy =
        BeginCopyFrom(pstate, target, nullptr, nullptr, false, read_source, names, options);
    current_copy = copy;
    for (int i = 0; i < ncolumns; i++) {
        AttrNumber attnum = get_attnum(RelationGetRelid(target), columns[i]);
        if (as_written[i])
            read_as_written(&copy->in_functions[attnum - 1],
                            TupleDescAttr(RelationGetDescr(target), attnum - 1)->atttypid);
    }
    uint64 rows = CopyFrom(copy);
    current_copy = nullptr;
    EndCopyFrom(copy);
    return rows;
}

}  // namespace fastcopy::sink
