/*
 * dump_text: the SQL text of pg_dump or pg_restore, run with --verbose, as its entries.
 *
 * Each entry of an archive's table of contents is printed with a comment before it:
 *
 *     --
 *     -- TOC entry 217 (class 1259 OID 16390)
 *     -- Dependencies: 215 216
 *     -- Name: orders; Type: TABLE; Schema: sales; Owner: shop
 *     --
 *
 * SQL is scanned as far as needed to tell such a comment from the same text in a string or in a
 * function's body. Two settings that concern an entry are printed before its comment, whenever they
 * change; they are given with each entry.
 *
 * What precedes the first entry (settings of the session) and what follows the last one are left out,
 * as are psql's \restrict and \unrestrict.
 */
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace fastcopy::core {

struct DumpEntry {
    std::uint32_t id;               /* in the archive */
    std::uint32_t catalog;          /* the object's OIDs in the database that was dumped: of the */
    std::uint32_t oid;              /* catalog that it is in, and its own; 0: none */
    std::string_view dependencies;  /* ids of other entries, separated by spaces */
    std::string_view name;          /* as shown, with line ends replaced; not quoted */
    std::string_view kind;          /* as in "FK CONSTRAINT" */
    std::string_view schema;        /* "-": none */
    std::string_view tablespace;    /* the value of default_tablespace, as SQL; empty: not set */
    std::string_view access_method; /* the same of default_table_access_method */
    std::string_view sql;           /* complete statements */
};

class DumpReader {
  public:
    explicit DumpReader(std::string_view text) noexcept;

    /* Reads the next entry. False if there is none, or if the text is not as described. */
    bool next(DumpEntry *entry) noexcept;

    /* Whether all of the text has been read, and was as described. */
    bool is_complete() const noexcept { return complete_; }

  private:
    std::string_view cut_settings(std::string_view sql) noexcept;

    std::string_view rest_; /* from the next entry's comment on */
    std::string_view tablespace_;
    std::string_view access_method_;
    bool complete_ = false;
};

/* Takes the next number of DumpEntry::dependencies; false: there is none. */
bool take_dependency(std::string_view *dependencies, std::uint32_t *id) noexcept;

/*
 * The parts of an entry of kind FK CONSTRAINT, and of the statement that validates one:
 *
 *     ALTER TABLE ONLY sales.orders
 *         ADD CONSTRAINT orders_customer_fkey FOREIGN KEY ...;
 *
 *     ALTER TABLE sales.orders
 *         VALIDATE CONSTRAINT orders_customer_fkey;
 *
 * False if it is not of these forms. The parts are SQL, quoted where needed.
 */
struct ForeignKeyText {
    std::string_view table;      /* sales.orders */
    std::string_view constraint; /* orders_customer_fkey */
    std::string_view key;        /* FOREIGN KEY ..., without NOT VALID; empty: VALIDATE */
    std::string_view statement;  /* without the semicolon, and without NOT VALID */
    bool only;                   /* ONLY is not said of a partitioned table */
    bool not_valid;
};
bool parse_foreign_key(std::string_view sql, ForeignKeyText *key) noexcept;

}  // namespace fastcopy::core
