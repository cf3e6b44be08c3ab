# shellcheck shell=bash
#
# Shared by the programs of scripts/ and bench/; source it, don't run it.
#
# PostgreSQL does not run as root, and the postgres user may not be able to read the checkout (it
# could be in /root). So everything happens in a work directory that belongs to postgres: a copy of
# the tree, built there, and throwaway clusters, each with its data and its socket in a directory of
# its own. The clusters listen on no network address, and nobody but postgres and root gets into
# the work directory, so they trust every connection. All of it is gone when the script ends,
# however it ends, unless keep_work is set.

set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
jobs=${JOBS:-$(nproc 2>/dev/null || echo 2)}

export PG_CONFIG=${PG_CONFIG:-/usr/lib/postgresql/15/bin/pg_config}
# The caller's own PostgreSQL settings must not reach the throwaway clusters.
for variable in "${!PG@}"; do
    [[ $variable == PG_CONFIG ]] || unset "$variable"
done
# For counting characters, and for the same messages everywhere.
export LC_ALL=C.UTF-8

work=
clusters=()
mounts=()
torturer=
aside_pids=()
aside_files=
keep_work=

# If there is a ccache (scripts/suite has one), use it.
if [[ -d /usr/lib/ccache && -n ${FASTCOPY_SUITE:-} ]]; then
    export PATH=/usr/lib/ccache:$PATH CCACHE_DIR=/var/cache/pg_fastcopy CCACHE_NOHASHDIR=1
fi

say() {
    printf '\n== %s\n' "$*"
}

die() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

as_root() {
    if [[ $(id -u) -eq 0 ]]; then
        "$@"
    else
        command -v sudo >/dev/null || die "run me as root, or install sudo"
        sudo -- "$@"
    fi
}

# The prefix of a command that runs as postgres.
postgres_prefix() {
    if [[ $(id -un) == postgres ]]; then
        echo "env"
    elif [[ $(id -u) -eq 0 ]]; then
        echo "runuser -u postgres --"
    else
        echo "sudo -u postgres --"
    fi
}

# Runs a command as postgres, in the work directory (once there is one).
as_postgres() {
    (
        cd "${work:-/}" 2>/dev/null || cd /
        # shellcheck disable=SC2046
        exec $(postgres_prefix) env HOME="${work:-/}" TMPDIR="${work:-/tmp}" LC_ALL="$LC_ALL" \
            PG_CONFIG="$PG_CONFIG" "$@"
    )
}

# Creates the work directory and sets up its removal. Call it after the packages are installed, since they create the
# postgres user.
make_work_dir() {
    local base=${TMPDIR:-/tmp}
    # The path of a socket may have about 100 characters; torture's is the longest.
    if [[ ${#base} -gt 40 ]] || ! as_postgres test -w "$base"; then
        base=/tmp
    fi
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    trap clean_up EXIT
    work=$(as_postgres mktemp -d "$base/pg_fastcopy.XXXXXX")
    bindir=$("$PG_CONFIG" --bindir)
    if [[ -n ${CCACHE_DIR:-} ]] && ! as_postgres test -w "$CCACHE_DIR"; then
        as_root install -d -o postgres "$CCACHE_DIR" || true
    fi
}

clean_up() {
    local status=$? name pid
    trap '' INT TERM HUP
    trap - EXIT
    for pid in "${aside_pids[@]}"; do
        as_root kill -TERM -- "-$pid" 2>/dev/null || true
        wait "$pid" || true
    done
    [[ -z $aside_files ]] || rm -rf "$aside_files"
    # The torture test would start the servers again.
    if [[ -n $torturer ]]; then
        as_root kill -TERM "$torturer" 2>/dev/null || true
        wait "$torturer" || true
    fi
    if [[ -n $work && -z $keep_work ]]; then
        for name in "${clusters[@]}"; do
            as_postgres "$bindir/pg_ctl" -D "$work/$name/data" -m immediate -s stop || true
        done
        for name in "${mounts[@]}"; do
            as_root umount "$work/$name" || as_root umount --lazy "$work/$name" || true
        done
        as_root rm -rf --one-file-system "$work"
    fi
    exit "$status"
}

# Runs a function with its arguments in the background, as a process group of its own. join_aside prints its output,
# and adds the suites that it has appended to the array failed. All other variables that it sets are lost.
start_aside() {
    [[ -n $aside_files ]] || aside_files=$(mktemp -d)
    local files=$aside_files/${#aside_pids[@]}
    set -m
    (
        set +m
        # The parent cleans up what exists already. bash runs the trap when its child has exited, and so has cleaned
        # up.
        trap - EXIT INT
        trap 'exit 143' TERM HUP
        aside_pids=() aside_files='' clusters=() mounts=() failed=()
        "$@"
        printf '%s\n' "${failed[@]}" >"$files.failed"
    ) </dev/null >"$files.output" 2>&1 &
    aside_pids+=("$!")
    set +m
}

# Waits for everything that start_aside has started, and prints its output.
join_aside() {
    local i status suite broken=
    [[ ${#aside_pids[@]} -gt 0 ]] || return 0
    for i in "${!aside_pids[@]}"; do
        status=0
        wait "${aside_pids[i]}" || status=$?
        cat "$aside_files/$i.output"
        [[ $status -eq 0 ]] || broken=1
    done
    aside_pids=()
    [[ -z $broken ]] || die "what ran aside has not come to its end"
    while read -r suite; do
        [[ -z $suite ]] || failed+=("$suite")
    done < <(cat "$aside_files"/*.failed)
    rm -rf "$aside_files"
    aside_files=
}

# Mounts a file system of that size, in memory, on a directory of that name in the work directory; false if that is
# not allowed, as in most containers.
mount_small_disk() {
    local name=$1 size=$2
    as_postgres mkdir "$work/$name"
    as_root mount -t tmpfs -o "size=$size,mode=700,uid=$(id -u postgres)" pg_fastcopy "$work/$name" \
        2>/dev/null || return 1
    mounts+=("$name")
}

# Copies the checkout, as it is, to a directory in the work directory. Object files of an earlier make are copied on
# request only: they save time, but it is unknown how they were built.
copy_tree() {
    local target=$1 objects=${2:-} exclude=()
    [[ -n $objects ]] || exclude=(--exclude='*.o' --exclude='*.bc' --exclude='*.d' --exclude='*.so')
    as_postgres mkdir "$work/$target"
    tar -C "$root" -cf - --exclude=./.git --exclude='./build*' --exclude=./tmp_check \
        --exclude=./results --exclude=./output_iso "${exclude[@]}" . |
        as_postgres tar -C "$work/$target" --no-same-permissions -xf -
}

# Builds a copy of the tree, as postgres. Further arguments are passed to make.
build() {
    local tree=$1
    shift
    as_postgres make -C "$work/$tree" --no-print-directory -s -j"$jobs" PG_CONFIG="$PG_CONFIG" "$@"
}

# Installs a built tree into the PostgreSQL that it was built for.
install_tree() {
    as_root make -C "$work/$1" --no-print-directory -s PG_CONFIG="$PG_CONFIG" install >/dev/null
}

# Installs the extensions that only some tests need and Debian does not have, TimescaleDB and Citus, into the
# PostgreSQL of PG_CONFIG. ENGINES is the program that does so, called with the name of one and a pg_config; by
# default the one in a folder beside the checkout, if there is one. Without it, or if it fails, those tests are
# skipped.
install_engines() {
    local install=${ENGINES:-$root/../shared/engines/install} engine
    [[ -x $install ]] || return 0
    for engine in citus timescaledb; do
        has_engine "$engine" && continue
        say "engine: $engine"
        as_root "$install" "$engine" "$PG_CONFIG" || echo "$engine could not be installed: its tests are skipped"
    done
}

# Creates and starts a throwaway cluster: its name, its port (which only names the socket), and
# lines for postgresql.conf.
start_cluster() {
    local name=$1 port=$2 settings=$3
    local dir=$work/$name
    as_postgres mkdir "$dir"
    as_postgres "$bindir/initdb" -D "$dir/data" -U postgres --auth=trust --encoding=UTF8 \
        --locale=C.UTF-8 --no-sync --no-instructions >/dev/null
    as_postgres tee -a "$dir/data/postgresql.conf" >/dev/null <<END
listen_addresses = ''
unix_socket_directories = '$dir'
port = $port
$settings
END
    clusters+=("$name")
    if ! as_postgres "$bindir/pg_ctl" -D "$dir/data" -l "$dir/log" -s -w start; then
        as_root cat "$dir/log" >&2
        die "the $name cluster did not start"
    fi
}

# Creates and starts a standby of a throwaway cluster: its name, its port, and the name and port of the other.
start_standby() {
    local name=$1 port=$2 of=$3 of_port=$4
    local dir=$work/$name
    as_postgres mkdir "$dir"
    as_postgres "$bindir/pg_basebackup" -D "$dir/data" -h "$work/$of" -p "$of_port" -U postgres \
        --checkpoint=fast --no-sync --write-recovery-conf
    as_postgres tee -a "$dir/data/postgresql.conf" >/dev/null <<END
unix_socket_directories = '$dir'
port = $port
max_standby_streaming_delay = 1s
END
    clusters+=("$name")
    as_postgres "$bindir/pg_ctl" -D "$dir/data" -l "$dir/log" -s -w start
}

# The pg_config of the private installation of that name.
private_pg_config_of() {
    echo "$work/$1$("$PG_CONFIG" --bindir)/pg_config"
}

# Copies the PostgreSQL of PG_CONFIG to a directory of that name in the work directory, for a module that must not be
# installed in the original, whose servers may be in use. PostgreSQL finds its files relative to its programs, so the
# copy works in its place; private_pg_config is set to its pg_config. The other arguments precede the command line of
# its postmasters: assignments, and a program that runs them. initdb runs without them, to save time.
private_installation() {
    local prefix=$work/$1 directory
    private_pg_config=$(private_pg_config_of "$1")
    shift
    for directory in bindir pkglibdir sharedir; do
        directory=$("$PG_CONFIG" --"$directory")
        [[ -e $prefix$directory ]] && continue
        as_postgres mkdir -p "$prefix${directory%/*}"
        as_postgres cp -rL --no-preserve=ownership "$directory" "$prefix$directory"
    done
    for directory in libdir includedir includedir-server; do
        directory=$("$PG_CONFIG" --"$directory")
        [[ -e $prefix$directory ]] && continue
        as_postgres mkdir -p "$prefix${directory%/*}"
        as_postgres ln -s "$directory" "$prefix$directory"
    done
    # Remove a pg_fastcopy that is already installed.
    as_postgres rm -rf "$prefix$("$PG_CONFIG" --pkglibdir)"/{pg_fastcopy.so,bitcode/pg_fastcopy*}
    as_postgres rm -f "$prefix$("$PG_CONFIG" --sharedir)"/extension/pg_fastcopy[.-]*

    # Each call of pg_ctl needs the option: a restart would use the program that runs.
    local programs=${private_pg_config%/*}
    as_postgres mv "$programs/pg_ctl" "$programs/pg_ctl.real"
    as_postgres tee "$programs/pg_ctl" >/dev/null <<END
#!/bin/sh
exec '$programs/pg_ctl.real' "\$@" -p '$programs/postgres.checked'
END
    # The sources of the TAP tests run none of our code, and must not be slowed down.
    as_postgres tee "$programs/postgres.checked" >/dev/null <<END
#!/bin/sh
case "\$*" in
    *source_data/*) exec '$programs/postgres' "\$@" ;;
esac
exec env $(printf '%q ' "$@")'$programs/postgres' "\$@"
END
    as_postgres chmod +x "$programs/pg_ctl" "$programs/postgres.checked"
}

# Whether the PostgreSQL of PG_CONFIG has an engine.
has_engine() {
    [[ -e $("$PG_CONFIG" --sharedir)/extension/$1.control ]]
}

# Runs the torture test for so many seconds with that seed, on two clusters of its own whose restarts are cheap, and a
# standby of the target; or with an engine, if one is named, that stores the target's tables. Keeps their logs if it
# fails. `tree` is the copy of the tree that has the test.
torture() {
    local seconds=$1 seed=$2 engine=${3:-} tree=${4:-$work/tree}
    local name small_disk= status=0 servers=(source target) of_engine=
    say "torture: $seconds seconds, seed $seed${engine:+, $engine}"
    # There is room for the table that is copied to it, and not much more. A standby would have the same tablespace in
    # the same place, so a seed gets either a small disk or a standby.
    if [[ -z $engine && $((seed / 2 % 2)) -eq 0 ]] && mount_small_disk small_disk 24M; then
        small_disk=$work/small_disk
        as_postgres mkdir "$small_disk/tablespace"
    fi
    local settings="
fsync = off
full_page_writes = off
shared_buffers = 16MB
max_wal_size = 64MB
min_wal_size = 32MB
wal_init_zero = off
max_connections = 60
max_worker_processes = 16
autovacuum = off
restart_after_crash = on
log_line_prefix = '%m [%p] %b %q%a '"
    case $engine in
        timescaledb)
            of_engine="
shared_preload_libraries = 'timescaledb'
timescaledb.telemetry_level = off"
            ;;
        citus)
            # Transactions that are left prepared are recovered on request.
            of_engine="
shared_preload_libraries = 'citus'
max_connections = 150
max_prepared_transactions = 100
citus.shard_count = 4
citus.recover_2pc_interval = -1
citus.enable_statistics_collection = off"
            start_cluster node 5503 "$settings$of_engine"
            servers+=(node)
            of_engine+="
citus.local_hostname = '$work/target'"
            ;;
    esac
    start_cluster source 5501 "$settings"
    start_cluster target 5502 "$settings
wal_keep_size = 512MB
dynamic_shared_memory_type = mmap$of_engine"
    if [[ -z $small_disk && -z $engine ]]; then
        start_standby standby 5503 target 5502
        servers+=(standby)
    fi

    # It runs in the background, since bash handles no signal before a foreground command has ended, and by exec, so
    # that the process itself gets the signal.
    (
        cd "$work"
        # shellcheck disable=SC2046
        exec $(postgres_prefix) env LC_ALL="$LC_ALL" TORTURE_VERBOSE="${TORTURE_VERBOSE:-}" \
            perl "$tree/test/torture/torture.pl" "$work" "$bindir" "$seconds" "$seed" "$small_disk" "$engine"
    ) &
    torturer=$!
    wait "$torturer" || status=$?
    torturer=
    if [[ $status -ne 0 ]]; then
        mkdir -p "$root/results/torture"
        for name in "${servers[@]}"; do
            as_root cat "$work/$name/log" >"$root/results/torture/$name-$seed.log"
        done
        echo "the servers' logs are in results/torture/"
    fi

    # Another run may follow.
    for name in "${servers[@]}"; do
        as_postgres "$bindir/pg_ctl" -D "$work/$name/data" -m immediate -s stop
        as_root rm -rf "${work:?}/$name"
        drop_name clusters "$name"
    done
    if [[ -n $small_disk ]] && as_root umount "$small_disk"; then
        as_root rmdir "$small_disk"
        drop_name mounts small_disk
    fi
    return "$status"
}

# The same in a work directory of its own, for several at a time. Adds to the array failed.
torture_apart() {
    local seconds=$1 seed=$2 engine=${3:-} tree=$work/tree status=0
    # A function that is called in a condition does not end at its first failure.
    set +e
    (
        set -e
        work=$work/$seed${engine:+-$engine}
        clusters=() mounts=() aside_pids=() aside_files=''
        as_postgres mkdir "$work"
        trap 'exit 143' TERM
        trap clean_up EXIT
        torture "$seconds" "$seed" "$engine" "$tree"
    )
    status=$?
    set -e
    [[ $status -eq 0 ]] || failed+=("torture, seed $seed${engine:+, $engine}")
}

# Removes a name from an array.
drop_name() {
    local -n array=$1
    local kept=() each
    for each in "${array[@]}"; do
        [[ $each == "$2" ]] || kept+=("$each")
    done
    array=("${kept[@]}")
}

# A seed for the torture test.
random_seed() {
    od -An -N4 -tu4 /dev/urandom | tr -d ' '
}
