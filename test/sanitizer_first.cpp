/*
 * sanitizer_first: what a server loads together with the sanitizers' runtimes, to get both of them
 * through what PostgreSQL and its libraries do. Linked with -z initfirst, its constructor runs before all
 * others.
 *
 * AddressSanitizer sets itself up at the first malloc of a process. In PostgreSQL that one comes from
 * the constructor of libgpg-error, in a bindtextdomain that holds glibc's lock on message catalogues.
 * Setting up asks dlsym for functions that are not there; dlerror translates its message, and with that
 * breaks the lock: the next bindtextdomain waits forever. So here is an earlier malloc.
 *
 * UndefinedBehaviorSanitizer reads its options when it has something to report, from the memory of the
 * process's first environment, where PostgreSQL has its process title by then. So they are kept here,
 * where it looks as well.
 */
#include <cstdlib>
#include <cstring>

namespace {

void *volatile first_allocation;
char options[1024];

__attribute__((constructor)) void set_up(int, char **, char **environment) {
    constexpr char name[] = "UBSAN_OPTIONS=";
    first_allocation = std::malloc(1);
    std::free(first_allocation);
    for (; *environment != nullptr; environment++) {
        if (std::strncmp(*environment, name, sizeof(name) - 1) == 0)
            std::strncpy(options, *environment + sizeof(name) - 1, sizeof(options) - 1);
    }
}

}  // namespace

extern "C" const char *__ubsan_default_options() {
    return options;
}
