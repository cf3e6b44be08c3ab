#include "plan/chunk.hpp"

namespace fastcopy::plan {

namespace {

// Compares with the index's own operator, schema-qualified: under an unknown search_path
// (source/search_path), the < of a type that is not built in might not be found, or be another
// type's.
void append_comparison(StringInfo sql, const Chunk &chunk, const char *op, const char *bound) {
    appendStringInfo(sql, "%s %s %s::%s", chunk.key, op, quote_literal_cstr(bound), chunk.key_type);
}

void append_condition(StringInfo sql, const Chunk &chunk) {
    switch (chunk.kind) {
        case Kind::whole:
            break;
        case Kind::blocks:
            // A comparison of ctid with constants is a TID range scan on servers from 14 on.
            appendStringInfo(sql,
                             "ctid OPERATOR(pg_catalog.>=) '(" INT64_FORMAT ",0)'::pg_catalog.tid",
                             chunk.first_block);
            if (chunk.end_block >= 0)
                appendStringInfo(
                    sql, " AND ctid OPERATOR(pg_catalog.<) '(" INT64_FORMAT ",0)'::pg_catalog.tid",
                    chunk.end_block);
            break;
        case Kind::range:
            if (chunk.lower != nullptr)
                append_comparison(sql, chunk, chunk.not_less, chunk.lower);
            if (chunk.lower != nullptr && chunk.upper != nullptr)
                appendStringInfoString(sql, " AND ");
            if (chunk.upper != nullptr)
                append_comparison(sql, chunk, chunk.less, chunk.upper);
            if (chunk.lower == nullptr && chunk.upper == nullptr)
                appendStringInfo(sql, "%s IS NOT NULL", chunk.key);
            break;
        case Kind::nulls:
            appendStringInfo(sql, "%s IS NULL", chunk.key);
            break;
        case Kind::keys:
            appendStringInfoString(
                sql, keys_condition(chunk.key, chunk.less, chunk.lower, chunk.key_type));
            break;
    }
}

}  // namespace

char *quote_always(const char *identifier) {
    StringInfoData quoted;
    initStringInfo(&quoted);
    appendStringInfoChar(&quoted, '"');
    for (const char *c = identifier; *c != '\0'; c++) {
        if (*c == '"')
            appendStringInfoChar(&quoted, '"');
        appendStringInfoChar(&quoted, *c);
    }
    appendStringInfoChar(&quoted, '"');
    return quoted.data;
}

char *from_clause(const Chunk &chunk, const RowShape &shape) {
    StringInfoData sql;
    initStringInfo(&sql);
    appendStringInfo(&sql, "%s%s", chunk.only ? "ONLY " : "", chunk.relation);

    StringInfoData condition;
    initStringInfo(&condition);
    append_condition(&condition, chunk);
    if (condition.len > 0)
        appendStringInfo(&sql, " WHERE %s", condition.data);
    // The filter may end in a comment, so its parenthesis closes on a line of its own.
    if (shape.filter != nullptr)
        appendStringInfo(&sql, " %s (%s\n)", condition.len > 0 ? "AND" : "WHERE", shape.filter);
    return sql.data;
}

char *select_statement(const Chunk &chunk, const RowShape &shape) {
    StringInfoData sql;
    initStringInfo(&sql);
    appendStringInfoString(&sql, "SELECT ");
    for (int i = 0; i < shape.ncolumns; i++)
        appendStringInfo(&sql, "%s%s", i > 0 ? ", " : "", quote_always(shape.columns[i]));
    appendStringInfo(&sql, " FROM %s", from_clause(chunk, shape));
    return sql.data;
}

char *copy_statement(const Chunk &chunk, const RowShape &shape) {
    return psprintf("COPY (%s) TO STDOUT (FORMAT %s)", select_statement(chunk, shape),
                    shape.binary ? "binary" : "text");
}

char *keys_condition(const char *key, const char *equal, const char *keys, const char *type) {
    return psprintf("%s %s ANY (%s::%s[])", key, equal, quote_literal_cstr(keys), type);
}

char *describe(const Chunk &chunk) {
    if (chunk.kind == Kind::keys)
        return psprintf("%s where %s is one of the keys of chunk %d", chunk.relation, chunk.key,
                        chunk.number);
    StringInfoData text;
    initStringInfo(&text);
    append_condition(&text, chunk);
    return psprintf("%s%s%s", chunk.relation, text.len > 0 ? " where " : "", text.data);
}

}  // namespace fastcopy::plan
