#include "pg/program.hpp"

#include <csignal>
#include <cstring>

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

namespace fastcopy::pg {

namespace {

// Where the program has the pipe's other end.
constexpr int alive_fd = 3;

char *path_of(const char *name) {
    auto *path = static_cast<char *>(palloc(MAXPGPATH));
    strlcpy(path, my_exec_path, MAXPGPATH);
    get_parent_directory(path);
    join_path_components(path, path, name);
    return path;
}

bool has_same_name(const char *variable, const char *other) {
    size_t length = strcspn(variable, "=");
    return strncmp(variable, other, length + 1) == 0;
}

// This process's environment with other variables, terminated by nullptr.
char **make_environment(std::span<const char *const> more) {
    size_t count = 0;
    while (environ[count] != nullptr)
        count++;
    auto **all = static_cast<char **>(palloc(sizeof(char *) * (count + more.size() + 1)));
    size_t used = 0;
    for (size_t i = 0; i < count; i++) {
        bool replaced = false;
        for (const char *variable : more)
            replaced = replaced || has_same_name(variable, environ[i]);
        if (!replaced)
            all[used++] = environ[i];
    }
    for (const char *variable : more)
        all[used++] = const_cast<char *>(variable);
    all[used] = nullptr;
    return all;
}

int open_fd(File file) {
    int fd = FileGetRawDesc(file);
    if (fd < 0)
        elog(ERROR, "a temporary file has been closed");
    return fd;
}

// The program starts with the signals' default actions, none blocked.
void reset_signals(posix_spawnattr_t *attributes) {
    sigset_t all;
    sigset_t none;
    sigfillset(&all);
    sigemptyset(&none);
    (void)posix_spawnattr_setsigdefault(attributes, &all);
    (void)posix_spawnattr_setsigmask(attributes, &none);
    (void)posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
}

// Returns an errno, or 0.
int spawn(pid_t *pid, char **arguments, char **environment, const Program &program, File input,
          int alive) {
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    (void)posix_spawn_file_actions_init(&actions);
    (void)posix_spawnattr_init(&attributes);
    if (input == no_file) {
        (void)posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    } else {
        (void)lseek(FileGetRawDesc(input), 0, SEEK_SET);
        (void)posix_spawn_file_actions_adddup2(&actions, FileGetRawDesc(input), STDIN_FILENO);
    }
    (void)posix_spawn_file_actions_adddup2(&actions, FileGetRawDesc(program.output), STDOUT_FILENO);
    (void)posix_spawn_file_actions_adddup2(&actions, FileGetRawDesc(program.errors), STDERR_FILENO);
    // Last, as it may take the place of another.
    (void)posix_spawn_file_actions_adddup2(&actions, alive, alive_fd);
    reset_signals(&attributes);
    int error = posix_spawn(pid, arguments[0], &actions, &attributes, arguments, environment);
    (void)posix_spawn_file_actions_destroy(&actions);
    (void)posix_spawnattr_destroy(&attributes);
    return error;
}

}  // namespace

Program start_program(const char *name, std::span<const char *const> arguments,
                      std::span<const char *const> environment, File input) {
    auto **all = static_cast<char **>(palloc(sizeof(char *) * (arguments.size() + 2)));
    all[0] = path_of(name);
    for (size_t i = 0; i < arguments.size(); i++)
        all[i + 1] = const_cast<char *>(arguments[i]);
    all[arguments.size() + 1] = nullptr;
    char **variables = make_environment(environment);

    Program program{.pid = -1,
                    .alive = -1,
                    .output = OpenTemporaryFile(false),
                    .errors = OpenTemporaryFile(false)};
    (void)open_fd(program.output);
    (void)open_fd(program.errors);
    if (input != no_file)
        (void)open_fd(input);
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        ereport(ERROR, (errcode_for_file_access(), errmsg("could not create pipe: %m")));
    int error = spawn(&program.pid, all, variables, program, input, ends[1]);
    (void)close(ends[1]);
    if (error != 0) {
        (void)close(ends[0]);
        errno = error;
        if (error == E2BIG)
            ereport(ERROR,
                    (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
                     errmsg("could not run \"%s\": %m", all[0]),
                     errdetail("It is given patterns for tables, and before version 17 the names "
                               "of all partitions of these."),
                     errhint("Clone fewer tables at a time, or all tables of the database, which "
                             "needs no patterns.")));
        ereport(ERROR, (errcode_for_file_access(), errmsg("could not run \"%s\": %m", all[0]),
                        errhint("Install the client programs of this PostgreSQL version beside "
                                "the server.")));
    }
    program.alive = ends[0];
    return program;
}

bool wait_for_program(Program *program, int *status) {
    int events = WaitLatchOrSocket(MyLatch, WL_LATCH_SET | WL_SOCKET_READABLE | WL_EXIT_ON_PM_DEATH,
                                   program->alive, -1, PG_WAIT_EXTENSION);
    if ((events & WL_LATCH_SET) != 0) {
        ResetLatch(MyLatch);
        CHECK_FOR_INTERRUPTS();
    }
    if ((events & WL_SOCKET_READABLE) == 0)
        return false;
    (void)close(program->alive);
    program->alive = -1;
    while (waitpid(program->pid, status, 0) < 0) {
        if (errno != EINTR)
            elog(ERROR, "could not wait for process %d: %m", static_cast<int>(program->pid));
    }
    program->pid = -1;
    return true;
}

void stop_program(Program *program) {
    if (program->alive >= 0)
        (void)close(program->alive);
    program->alive = -1;
    if (program->pid <= 0)
        return;
    (void)kill(program->pid, SIGKILL);
    int status;
    while (waitpid(program->pid, &status, 0) < 0 && errno == EINTR) {
    }
    program->pid = -1;
}

File write_file(std::string_view contents) {
    File file = OpenTemporaryFile(false);
    size_t done = 0;
    while (done < contents.size()) {
        errno = 0;
        // As many bytes at a time as fit into an int.
        size_t size = Min(contents.size() - done, static_cast<size_t>(1) << 20);
        int written =
            static_cast<int>(FileWrite(file, const_cast<char *>(contents.data() + done), size,
                                       static_cast<off_t>(done), PG_WAIT_EXTENSION));
        if (written <= 0) {
            if (errno == 0)
                errno = ENOSPC;
            ereport(ERROR, (errcode_for_file_access(),
                            errmsg("could not write to file \"%s\": %m", FilePathName(file))));
        }
        done += static_cast<size_t>(written);
    }
    return file;
}

std::span<char> read_file(File file) {
    constexpr Size piece = 1 << 20;
    Size capacity = piece + 1;
    Size size = 0;
    auto *contents = static_cast<char *>(MemoryContextAllocHuge(CurrentMemoryContext, capacity));
    for (;;) {
        if (capacity - size <= piece) {
            capacity *= 2;
            contents = static_cast<char *>(repalloc_huge(contents, capacity));
        }
        int got = static_cast<int>(
            FileRead(file, contents + size, piece, static_cast<off_t>(size), PG_WAIT_EXTENSION));
        if (got < 0)
            ereport(ERROR, (errcode_for_file_access(),
                            errmsg("could not read file \"%s\": %m", FilePathName(file))));
        size += static_cast<Size>(got);
        contents[size] = '\0';
        if (got == 0)
            return {contents, size};
    }
}

}  // namespace fastcopy::pg
