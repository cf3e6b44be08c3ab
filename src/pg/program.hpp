// Running another program of this PostgreSQL installation, never through a shell.
//
// The program reads a temporary file and writes two; PostgreSQL removes them at the end of the
// transaction. It belongs to this process's group, as the signals by which the process is canceled or
// terminated are sent to the group. How it ends is seen by a pipe that nobody writes to and that the
// program closes as it exits: so the wait is on the latch, too.
#ifndef FASTCOPY_PG_PROGRAM_HPP
#define FASTCOPY_PG_PROGRAM_HPP

#include <span>
#include <string_view>

#include "pg/postgres.hpp"

namespace fastcopy::pg {

constexpr File no_file = -1;

// Whether pg_dump can dump statistics, and this server take them.
constexpr bool has_portable_statistics = PG_VERSION_NUM >= 180000;

// Whether pg_dump reads patterns from its standard input.
constexpr bool has_dump_filter = PG_VERSION_NUM >= 170000;

struct Program {
    pid_t pid;
    int alive;  // the pipe: readable once the program has exited
    File output;
    File errors;
};

// Starts the program of this name in the directory of the server's own. `environment` has
// "NAME=value" strings, which are added to this process's. Its standard input is a file, from the
// start, or empty. An ERROR if it cannot be started.
Program start_program(const char *name, std::span<const char *const> arguments,
                      std::span<const char *const> environment, File input);

// Waits until it has exited or the latch is set, and processes interrupts. True: it has exited, and
// `status` is as waitpid's.
bool wait_for_program(Program *program, int *status);

// Ends it, if it runs.
void stop_program(Program *program);

// A temporary file for a program to read.
File write_file(std::string_view contents);

// The file's contents, which may be larger than 1 GB, palloc'd; a zero follows them.
std::span<char> read_file(File file);

}  // namespace fastcopy::pg

#endif
