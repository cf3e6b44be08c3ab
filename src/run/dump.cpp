#include "run/dump.hpp"

#include "pg/program.hpp"
#include "source/conninfo.hpp"
#include "source/remote_error.hpp"

namespace fastcopy::run::dump {

namespace {

constexpr int kilobyte = 1024;

// Arguments or variables of a program.
struct Words {
    List *words = NIL;

    void add(const char *word) { words = lappend(words, pstrdup(word)); }
    std::span<const char *const> all() const {
        auto **array = static_cast<const char **>(palloc(sizeof(char *) * list_length(words) + 1));
        int count = 0;
        ListCell *cell;
        foreach (cell, words)
            array[count++] = static_cast<const char *>(lfirst(cell));
        return {array, static_cast<size_t>(count)};
    }
};

// The end of what a program has written to its standard error, as it is the end that says why.
const char *last_words(File errors) {
    constexpr size_t most = 2 * kilobyte;
    std::span<char> all = pg::read_file(errors);
    const char *text = all.data();
    if (all.size() > most) {
        text += all.size() - most;
        const char *line_end = strchr(text, '\n');
        if (line_end != nullptr)
            text = line_end + 1;
    }
    return source::valid_text(text);
}

void stop(int, Datum program) {
    pg::stop_program(static_cast<pg::Program *>(static_cast<void *>(DatumGetPointer(program))));
}

// Runs a program to its end; the job's cancel ends it, too. Returns its standard output.
File run(RunningJob *job, const char *name, const Words &arguments, const Words &environment,
         File input) {
    pg::show_activity(psprintf("fastcopy job " INT64_FORMAT, job->area->job),
                      psprintf("running %s", name));
    static pg::Program program;
    program = pg::start_program(name, arguments.all(), environment.all(), input);
    volatile int status = 0;
    // At an exit, too: a backend of it on the source would keep its locks.
    PG_ENSURE_ERROR_CLEANUP(stop, PointerGetDatum(&program));
    {
        int ended = 0;
        while (!pg::wait_for_program(&program, &ended))
            check_cancel(job);
        status = ended;
    }
    PG_END_ENSURE_ERROR_CLEANUP(stop, PointerGetDatum(&program));
    if (status != 0)
        ereport(ERROR, (errcode(ERRCODE_EXTERNAL_ROUTINE_EXCEPTION),
                        errmsg("%s failed: %s", name, wait_result_to_str(status)),
                        errdetail_internal("%s", last_words(program.errors))));
    FileClose(program.errors);
    return program.output;
}

void add_patterns(Words *arguments, const char *option, const char *const *patterns, int count) {
    for (int i = 0; i < count; i++)
        arguments->add(psprintf("%s=%s", option, patterns[i]));
}

// Partitions go with their tables. There may be more of them than fit into the arguments of a program:
// from version 17 on they are in a file that it reads, which is returned.
File add_partitions(Words *arguments, const Listing &listing) {
    const Names &included = listing.partitions;
    const Names &excluded = listing.excluded_partitions;
    if (!pg::has_dump_filter) {
        add_patterns(arguments, "--table", included.names, included.count);
        add_patterns(arguments, "--exclude-table", excluded.names, excluded.count);
        return pg::no_file;
    }
    if (included.count == 0 && excluded.count == 0)
        return pg::no_file;
    StringInfoData filter;
    initStringInfo(&filter);
    for (int i = 0; i < included.count; i++)
        appendStringInfo(&filter, "include table %s\n", included.names[i]);
    for (int i = 0; i < excluded.count; i++)
        appendStringInfo(&filter, "exclude table %s\n", excluded.names[i]);
    arguments->add("--filter=-");
    return pg::write_file({filter.data, static_cast<size_t>(filter.len)});
}

void add_choices(Words *arguments, const job::Request &request) {
    if (!request.owners)
        arguments->add("--no-owner");
    if (!request.privileges)
        arguments->add("--no-privileges");
}

enum class Content { definitions, statistics };

// Names the server that the job's snapshot is of: the source may have several. The host's name stays,
// for certificates and password files.
void append_server(StringInfo conninfo, const PGconn *conn) {
    const char *address = PQhostaddr(conn);
    source::append_option(conninfo, "host", PQhost(conn));
    source::append_option(conninfo, "hostaddr", address != nullptr ? address : "");
    source::append_option(conninfo, "port", PQport(conn));
}

// The archive, in pg_dump's custom format.
File make_archive(RunningJob *job, const Listing &listing, Content content) {
    const job::Request &request = job->request;
    source::ProgramSource source = source::for_program(request.source);
    StringInfoData conninfo;
    initStringInfo(&conninfo);
    // Later options win.
    source::append_option(&conninfo, "connect_timeout", "30");
    appendStringInfo(&conninfo, " %s", source.conninfo);
    append_server(&conninfo, job->connection->conn);
    source::append_option(&conninfo, "application_name",
                          psprintf("fastcopy job " INT64_FORMAT " definitions", job->area->job));
    if (request.password_required) {
        source::append_option(&conninfo, "sslcert", "/dev/null/none");
        source::append_option(&conninfo, "gssencmode", "disable");
    }
    Words arguments;
    if (content == Content::definitions) {
        arguments.add("--section=pre-data");
        arguments.add("--section=post-data");
    } else {
        arguments.add("--statistics-only");
    }
    for (const char *argument : {"--format=custom", "--no-subscriptions", "--no-blobs",
                                 "--no-password", "--lock-wait-timeout=1000"})
        arguments.add(argument);
    arguments.add(psprintf("--encoding=%s", GetDatabaseEncodingName()));
    arguments.add(psprintf("--snapshot=%s", job->area->snapshot));
    add_choices(&arguments, request);
    add_patterns(&arguments, "--table", request.include, request.include_count);
    add_patterns(&arguments, "--exclude-table", request.exclude, request.exclude_count);
    File partitions = add_partitions(&arguments, listing);
    arguments.add(psprintf("--dbname=%s", conninfo.data));
    Words environment;
    environment.add("LC_ALL=C");
    if (source.password != nullptr)
        environment.add(psprintf("PGPASSWORD=%s", source.password));
    File archive = run(job, "pg_dump", arguments, environment, partitions);
    if (partitions != pg::no_file)
        FileClose(partitions);
    return archive;
}

[[noreturn]] void raise_not_understood() {
    ereport(ERROR,
            (errcode(ERRCODE_EXTERNAL_ROUTINE_EXCEPTION),
             errmsg("the output of pg_restore is not understood"),
             errhint("Create the tables first, with pg_dump --section=pre-data, and copy into "
                     "them with definitions => 'keep'.")));
}

// An ERROR if the text is not valid in this database's encoding. It may be longer than PostgreSQL's
// function can be told: no encoding of a server has a line end within a character.
void verify(std::string_view text) {
    constexpr size_t most = 1 << 30;
    while (!text.empty()) {
        size_t size = text.size();
        if (size > most) {
            size = text.rfind('\n', most) + 1;
            if (size == 0)
                raise_not_understood();
        }
        (void)pg_verify_mbstr(GetDatabaseEncoding(), text.data(), static_cast<int>(size), false);
        text.remove_prefix(size);
    }
}

Section split(std::string_view text) {
    verify(text);
    core::DumpReader reader{text};
    Section section{};
    int capacity = 256;
    section.entries = static_cast<core::DumpEntry *>(
        palloc(sizeof(core::DumpEntry) * static_cast<Size>(capacity)));
    while (reader.next(&section.entries[section.count])) {
        if (++section.count == capacity) {
            capacity *= 2;
            section.entries = static_cast<core::DumpEntry *>(repalloc_huge(
                section.entries, sizeof(core::DumpEntry) * static_cast<Size>(capacity)));
        }
    }
    if (!reader.is_complete())
        raise_not_understood();
    return section;
}

// A section of the archive, or all of it.
Section restore(RunningJob *job, File archive, const char *section) {
    Words arguments;
    for (const char *argument : {"--verbose", "--file=-"})
        arguments.add(argument);
    if (section != nullptr)
        arguments.add(psprintf("--section=%s", section));
    add_choices(&arguments, job->request);
    Words environment;
    environment.add("LC_ALL=C");
    File output = run(job, "pg_restore", arguments, environment, archive);
    std::span<char> text = pg::read_file(output);
    FileClose(output);
    return split({text.data(), text.size()});
}

}  // namespace

void check_version(source::Connection *connection) {
    int theirs = source::server_version(connection) / 10000;
    int ours = PG_VERSION_NUM / 10000;
    if (theirs > ours)
        ereport(
            ERROR,
            (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
             errmsg("cannot create the definitions of a source of a newer version"),
             errdetail("The source is of version %d, this server and its pg_dump of version %d.",
                       theirs, ours),
             errhint("Create the tables first, and copy into them with definitions => 'keep'.")));
}

Dump read(RunningJob *job, const Listing &listing) {
    File archive = make_archive(job, listing, Content::definitions);
    Dump dump{};
    dump.before_data = restore(job, archive, "pre-data");
    dump.after_data = restore(job, archive, "post-data");
    FileClose(archive);
    // Those of the source are of all rows.
    if (pg::has_portable_statistics && source::server_version(job->connection) >= 180000 &&
        job->request.statistics && job->request.filter_count == 0) {
        archive = make_archive(job, listing, Content::statistics);
        dump.statistics = restore(job, archive, nullptr);
        FileClose(archive);
    }
    return dump;
}

bool is_table(const core::DumpEntry &entry) {
    return entry.catalog == RelationRelationId && entry.kind == "TABLE";
}

bool is_sequence(const core::DumpEntry &entry) {
    return entry.catalog == RelationRelationId && entry.kind == "SEQUENCE";
}

const char *oids_of(const Section &section, bool (*is_wanted)(const core::DumpEntry &entry)) {
    StringInfoData oids;
    initStringInfo(&oids);
    for (int i = 0; i < section.count; i++) {
        if (is_wanted(section.entries[i]))
            appendStringInfo(&oids, "%s%u", oids.len > 0 ? "," : "", section.entries[i].oid);
    }
    return oids.data;
}

char *copy(std::string_view text) {
    return pnstrdup(text.data(), text.size());
}

char *shown_name(const core::DumpEntry &entry) {
    char *name = copy(entry.name);
    return entry.schema == "-" || entry.schema.empty()
               ? name
               : psprintf("%s.%s", copy(entry.schema), name);
}

char *sql_of(const core::DumpEntry &entry) {
    StringInfoData sql;
    initStringInfo(&sql);
    if (!entry.tablespace.empty() && entry.tablespace != "''")
        appendStringInfo(&sql, "SET LOCAL default_tablespace = %s;\n", copy(entry.tablespace));
    if (!entry.access_method.empty() && entry.access_method != "heap")
        appendStringInfo(&sql, "SET LOCAL default_table_access_method = %s;\n",
                         copy(entry.access_method));
    appendBinaryStringInfo(&sql, entry.sql.data(), static_cast<int>(entry.sql.size()));
    return sql.data;
}

}  // namespace fastcopy::run::dump
