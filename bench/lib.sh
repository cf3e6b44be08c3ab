# shellcheck shell=bash
#
# Shared by the programs of bench/; source it, don't run it. It brings scripts/lib.sh with it.

# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../scripts/lib.sh"

source_port=5505
target_port=5506

# Installs the packages that only benchmarks need, and those that are named.
install_benchmark_packages() {
    install_packages python3-minimal pgcopydb gnuplot-nox "$@"
}

install_packages() {
    local package missing=()
    for package in "$@"; do
        [[ $(dpkg-query -W -f='${db:Status-Abbrev}' "$package" 2>/dev/null) == ii* ]] || missing+=("$package")
    done
    [[ ${#missing[@]} -gt 0 ]] || return 0
    echo "installing ${missing[*]}"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 update
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 \
        install -y --no-install-recommends "${missing[@]}"
}

# Prints a command as the report quotes it: without --out, which is about this machine only.
command_line() {
    local text=$1 argument
    shift
    while [[ $# -gt 0 ]]; do
        argument=$1
        shift
        if [[ $argument == --out ]]; then
            [[ $# -eq 0 ]] || shift
            continue
        fi
        [[ $argument =~ ^[A-Za-z0-9_.,/=-]+$ ]] || argument=$(printf %q "$argument")
        text+=" $argument"
    done
    echo "$text"
}

build_and_install() {
    say "building and installing pg_fastcopy"
    build tree
    install_tree tree
}

# Starts both clusters, and sets `connections` to the arguments that locate them. Segments of WAL are kept for reuse,
# and no checkpoint starts by itself during a measurement. With an address, the clusters listen on it and are reached
# over TCP.
start_clusters() {
    local address=${1:-}
    local settings="
listen_addresses = '$address'
shared_buffers = 2GB
max_wal_size = 32GB
min_wal_size = 4GB
checkpoint_timeout = 1d
maintenance_work_mem = 256MB
max_worker_processes = 24
max_locks_per_transaction = 256
autovacuum = off"
    say "starting two PostgreSQL clusters in $work"
    start_cluster source $source_port "$settings
wal_level = logical"
    start_cluster target $target_port "$settings
wal_level = replica"
    as_postgres mkdir "$work/results" "$work/scratch"
    # shellcheck disable=SC2034
    connections=(--source "host=${address:-$work/source} port=$source_port dbname=postgres user=postgres"
        --target "host=${address:-$work/target} port=$target_port dbname=postgres user=postgres" --scratch "$work/scratch")
}

# Runs a program of bench/ as postgres.
run_python() {
    local program=$1
    shift
    as_postgres env PATH="$bindir:/usr/sbin:/usr/bin:/sbin:/bin" PYTHONDONTWRITEBYTECODE=1 \
        /usr/bin/python3 "$work/tree/bench/$program" "$@"
}

revision() {
    git -c safe.directory="$root" -C "$root" describe --always --dirty 2>/dev/null || echo unknown
}

fetch_results() {
    local out=$1
    as_root tar -C "$work/results" -cf - . | tar -C "$out" --no-same-owner --no-same-permissions -xf -
    say "in $out: $(as_root ls "$work/results" | xargs)"
}

# Publishes results in docs/: the part of a page between the marks of this name, and plot and CSV beside it.
publish() {
    local name=$1 out=$2 page=$3 mark=$4
    cp "$out/$name.svg" "$out/$name.csv" "$root/docs/"
    /usr/bin/python3 "$root/bench/publish.py" "$root/docs/$page" "$mark" "$out/$name.part.md"
    say "docs/$page, docs/$name.svg and docs/$name.csv are written"
}
