#include "core/dump_text.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

namespace {

using fastcopy::core::DumpEntry;
using fastcopy::core::DumpReader;
using fastcopy::core::ForeignKeyText;
using fastcopy::core::parse_foreign_key;
using fastcopy::core::take_dependency;

const std::string preamble =
    "--\n-- PostgreSQL database dump\n--\n\n\\restrict abc\n\n-- Started on 2026-01-01\n\n"
    "SET statement_timeout = 0;\nSELECT pg_catalog.set_config('search_path', '', false);\n\n";
const std::string end =
    "\n\n-- Completed on 2026-01-01\n\n--\n-- PostgreSQL database dump complete\n--\n\n"
    "\\unrestrict abc\n\n";

std::string comment(int id, const std::string &kind, const std::string &more = "") {
    return "--\n-- TOC entry " + std::to_string(id) + " (class 1259 OID " +
           std::to_string(id + 1000) + ")\n" + more + "-- Name: orders; Type: " + kind +
           "; Schema: sales; Owner: shop\n--\n\n";
}

struct Read {
    std::unique_ptr<std::string> text;  // which the entries point into
    std::vector<DumpEntry> entries;
    bool complete;
};

Read read(const std::string &text) {
    Read result{std::make_unique<std::string>(text), {}, false};
    DumpReader reader(*result.text);
    DumpEntry entry;
    while (reader.next(&entry))
        result.entries.push_back(entry);
    result.complete = reader.is_complete();
    return result;
}

TEST(DumpText, HasNoEntries) {
    Read none = read(preamble + end);
    EXPECT_TRUE(none.complete);
    EXPECT_TRUE(none.entries.empty());
    EXPECT_TRUE(read("").complete);
}

TEST(DumpText, TakesEntriesApart) {
    const std::string text = preamble + comment(7, "TABLE", "-- Dependencies: 5 6\n") +
                             "CREATE TABLE sales.orders (\n    id integer\n);\n\n\n"
                             "ALTER TABLE sales.orders OWNER TO shop;\n\n" +
                             comment(8, "FK CONSTRAINT") + "ALTER TABLE x;\n" + end;
    Read result = read(text);
    ASSERT_TRUE(result.complete);
    ASSERT_EQ(result.entries.size(), 2U);
    const DumpEntry &table = result.entries[0];
    EXPECT_EQ(table.id, 7U);
    EXPECT_EQ(table.catalog, 1259U);
    EXPECT_EQ(table.oid, 1007U);
    EXPECT_EQ(table.kind, "TABLE");
    EXPECT_EQ(table.name, "orders");
    EXPECT_EQ(table.schema, "sales");
    EXPECT_EQ(table.sql,
              "CREATE TABLE sales.orders (\n    id integer\n);\n\n\n"
              "ALTER TABLE sales.orders OWNER TO shop;");
    std::string_view dependencies = table.dependencies;
    std::uint32_t id = 0;
    EXPECT_TRUE(take_dependency(&dependencies, &id) && id == 5);
    EXPECT_TRUE(take_dependency(&dependencies, &id) && id == 6);
    EXPECT_FALSE(take_dependency(&dependencies, &id));
    EXPECT_EQ(result.entries[1].kind, "FK CONSTRAINT");
    EXPECT_EQ(result.entries[1].sql, "ALTER TABLE x;");
    EXPECT_TRUE(result.entries[1].dependencies.empty());
}

TEST(DumpText, KnowsCommentsFromTexts) {
    const std::string fake = "\n" + comment(9, "TABLE");
    for (const std::string &sql :
         {"COMMENT ON TABLE t IS 'it''s" + fake + "';", "SELECT E'\\'" + fake + "';",
          "CREATE FUNCTION f() AS $a$ $$ '" + fake + " $a$;", "SELECT \"a'" + fake + "\";",
          "SELECT 1 /* ' /* */ " + fake + " */;", "SELECT a$b$c -- '" + std::string("\n;"),
          "SELECT 'E\\' || $1 || 'x" + fake + "';"}) {
        Read result = read(preamble + comment(1, "FUNCTION") + sql + "\n\n" + comment(2, "TABLE") +
                           "CREATE TABLE u ();" + end);
        ASSERT_TRUE(result.complete) << sql;
        ASSERT_EQ(result.entries.size(), 2U) << sql;
        EXPECT_EQ(result.entries[0].sql, sql);
    }
}

TEST(DumpText, GivesSettingsWithTheNextEntries) {
    Read result =
        read(preamble +
             "SET default_tablespace = '';\n\nSET default_table_access_method = "
             "heap;\n\n" +
             comment(1, "TABLE") + "CREATE TABLE a ();\n\n\nSET default_tablespace = fast;\n\n" +
             comment(2, "TABLE") + "CREATE TABLE b ();\n\n" + comment(3, "TABLE") +
             "CREATE TABLE c ();\n" + end);
    ASSERT_TRUE(result.complete);
    ASSERT_EQ(result.entries.size(), 3U);
    EXPECT_EQ(result.entries[0].tablespace, "''");
    EXPECT_EQ(result.entries[0].sql, "CREATE TABLE a ();");
    for (int i : {1, 2}) {
        EXPECT_EQ(result.entries[static_cast<std::size_t>(i)].tablespace, "fast");
        EXPECT_EQ(result.entries[static_cast<std::size_t>(i)].access_method, "heap");
    }
}

TEST(DumpText, TakesOddNames) {
    Read result =
        read(preamble +
             "--\n-- TOC entry 1 (class 0 OID 0)\n-- Name: a; Type: b; Schema: c; Type: ACL; "
             "Schema: -; Owner: x; Owner: y; Tablespace: t\n-- Data Pos: 4\n--\n\nGRANT;" +
             end);
    ASSERT_EQ(result.entries.size(), 1U);
    EXPECT_EQ(result.entries[0].kind, "ACL");
    EXPECT_EQ(result.entries[0].schema, "-; Owner: x");
}

TEST(DumpText, RejectsWhatIsNoDump) {
    for (const char *text :
         {"--\n-- TOC entry x", "--\n-- TOC entry 1 (class 1)\n--\n",
          "--\n-- TOC entry 1 (class 1 OID 2)\n-- Name: a\n--\nSELECT 1;",
          "--\n-- TOC entry 1 (class 1 OID 2)\n-- Name: a; Type: b; Schema: c; Owner: d\nSELECT 1;",
          "--\n-- TOC entry 99999999999 (class 1 OID 2)\n-- Name: a; Type: b; Schema: c; Owner: "
          "d\n--\n"})
        EXPECT_FALSE(read(text).complete) << text;
}

TEST(DumpText, TakesForeignKeysApart) {
    ForeignKeyText key;
    ASSERT_TRUE(
        parse_foreign_key("ALTER TABLE ONLY sales.\"Or;\nders\"\n    ADD CONSTRAINT \"a \"\"b\" "
                          "FOREIGN KEY (c) REFERENCES t(id) DEFERRABLE;",
                          &key));
    EXPECT_EQ(key.table, "sales.\"Or;\nders\"");
    EXPECT_EQ(key.constraint, "\"a \"\"b\"");
    EXPECT_TRUE(key.only);
    EXPECT_FALSE(key.not_valid);
    EXPECT_EQ(key.key, "FOREIGN KEY (c) REFERENCES t(id) DEFERRABLE");
    EXPECT_TRUE(key.statement.ends_with("DEFERRABLE"));
    ASSERT_TRUE(parse_foreign_key(
        "ALTER TABLE t\n    ADD CONSTRAINT k FOREIGN KEY (c) REFERENCES t(id) NOT VALID;", &key));
    EXPECT_FALSE(key.only);
    EXPECT_TRUE(key.not_valid);
    EXPECT_EQ(key.key, "FOREIGN KEY (c) REFERENCES t(id)");
    EXPECT_TRUE(key.statement.ends_with("t(id)"));
    ASSERT_TRUE(parse_foreign_key("ALTER TABLE s.t\n    VALIDATE CONSTRAINT \"k;\";", &key));
    EXPECT_EQ(key.table, "s.t");
    EXPECT_EQ(key.constraint, "\"k;\"");
    EXPECT_EQ(key.key, "");
    for (const char *sql :
         {"", "ALTER TABLE t", "ALTER TABLE t\n    ADD CONSTRAINT k CHECK (true);",
          "ALTER TABLE t\n    VALIDATE CONSTRAINT k NOT VALID;",
          "ALTER TABLE t\n    VALIDATE CONSTRAINT k, ADD CHECK (true);",
          "ALTER TABLE ONLY t\n    ADD CONSTRAINT k FOREIGN KEY (c) REFERENCES t(id);\nDROP TABLE "
          "t;"})
        EXPECT_FALSE(parse_foreign_key(sql, &key)) << sql;
}

}  // namespace
