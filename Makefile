# PGXS build of pg_fastcopy.
#
#   make && make install && make installcheck          with the pg_config in PATH
#   make PG_CONFIG=/usr/lib/postgresql/15/bin/pg_config
#   make CXX=clang++       make WERROR=1       make with_llvm=no
#   make format            make check-format
#   make dist              the zip of what is committed, as PGXN wants it: dist/pg_fastcopy-VERSION.zip
#
# installcheck runs pg_regress and the isolation tests against the server that PGHOST and PGPORT
# name, then the TAP tests, which start servers of their own. scripts/test does all of it on
# throwaway servers.

PG_CONFIG ?= pg_config

MODULE_big = pg_fastcopy
EXTENSION = pg_fastcopy
PGFILEDESC = "pg_fastcopy - parallel pull of remote tables"

CXX_SOURCES := $(sort $(wildcard src/*.cpp src/*/*.cpp))
OBJS := $(CXX_SOURCES:.cpp=.o)
DEPS := $(OBJS:.o=.d) $(OBJS:.o=.bc.d)

DATA := $(sort $(wildcard extension/pg_fastcopy--*.sql))

# A suite that has no files is left empty, and PGXS then skips it.
REGRESS := $(patsubst sql/%.sql,%,$(sort $(wildcard sql/*.sql)))
REGRESS_OPTS = --load-extension=$(EXTENSION)
ISOLATION := $(patsubst specs/%.spec,%,$(sort $(wildcard specs/*.spec)))
ISOLATION_OPTS = --load-extension=$(EXTENSION)
TAP_TESTS := $(if $(wildcard t/*.pl),1)

# PGXS appends its own -I for the server's headers; naming the directory with -isystem as well makes
# both compilers treat it as a system directory, so that -Wextra judges our code, not PostgreSQL's.
PG_CPPFLAGS = -Isrc -isystem $(includedir_server) -I$(libpq_srcdir)

# The flags that the object files and the LLVM bitcode must agree on.
LANGUAGE_FLAGS = -std=c++20 -fPIC -fno-exceptions -fno-rtti

PG_CXXFLAGS = $(LANGUAGE_FLAGS) -Wall -Wextra -MMD -MP
ifneq (,$(findstring clang,$(shell $(CXX) --version 2>/dev/null)))
# PostgreSQL hands out the warning flags of the compiler that it was configured with.
PG_CXXFLAGS += -Wno-unknown-warning-option
endif
ifeq ($(WERROR),1)
PG_CXXFLAGS += -Werror
endif

# PGXS links with the C compiler.
SHLIB_LINK = $(libpq) -lstdc++

EXTRA_CLEAN = $(DEPS)

PGXS := $(shell $(PG_CONFIG) --pgxs)
ifeq ($(PGXS),)
$(error $(PG_CONFIG) does not answer: set PG_CONFIG to the pg_config of the PostgreSQL to build for)
endif
include $(PGXS)

BITCODE_CXXFLAGS += $(LANGUAGE_FLAGS) -MMD -MP -MF $(basename $@).bc.d

-include $(wildcard $(DEPS))

CLANG_FORMAT ?= clang-format-14
FORMAT_FILES = $(sort $(wildcard src/*.[ch]pp src/*/*.[ch]pp test/unit/*.[ch]pp test/fuzz/*.[ch]pp))

.PHONY: format check-format dist

DIST_VERSION := $(shell sed -n "s/^default_version = '\(.*\)'/\1/p" $(EXTENSION).control)

dist:
	mkdir -p dist
	git archive --format=zip --prefix=$(EXTENSION)-$(DIST_VERSION)/ --output=dist/$(EXTENSION)-$(DIST_VERSION).zip HEAD

format:
	$(CLANG_FORMAT) -i $(FORMAT_FILES)

check-format:
	$(CLANG_FORMAT) --dry-run -Werror $(FORMAT_FILES)
