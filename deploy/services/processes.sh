# shellcheck shell=bash
# Messages, the scratch folder, and starting and stopping servers as the right user.

scratch=
say() { printf 'services: %s\n' "$*" >&2; }
die() { say "$*" && exit 1; }

# die_with_log MESSAGE FILE: ends with the last lines of a server's log.
die_with_log() {
    say "$1; the end of its log:"
    tail -n 30 "$2" >&2 || true
    exit 1
}

# A short path: sockets and Erlang's file names live under it. Tests put their own folders there, so that those of a
# killed test go, too.
make_scratch() {
    scratch=$(mktemp -d "${TMPDIR:-/tmp}/tenant-sync.XXXXXX")
    mkdir "$scratch/tests"
    chmod 711 "$scratch" "$scratch/tests"
    export TENANT_SYNC_TEST_SCRATCH=$scratch/tests
}

# A process that was just killed may still create a file while the folder is being removed.
remove_scratch() { [[ -z $scratch ]] || rm -rf "$scratch" 2>/dev/null || rm -rf "$scratch"; }

random_password() { od -An -N12 -tx1 /dev/urandom | tr -d ' \n'; }

# server_user NAME: whom a server runs as. Servers refuse root, so root lends them to the user that their
# package made, or to nobody; everybody else runs them as himself.
server_user() {
    if [[ $(id -u) -ne 0 ]]; then id -un; elif id "$1" >/dev/null 2>&1; then echo "$1"; else echo nobody; fi
}

# server_folder FOLDER USER: makes a folder that only the server's user can read.
server_folder() {
    mkdir -p "$1"
    chmod 700 "$1"
    [[ $(id -u) -ne 0 ]] || chown "$2" "$1"
}

# become USER FOLDER SIGNAL COMMAND…: turns this subshell into a program of that user, away from the terminal's ctrl-C,
# with its output in FOLDER/log. The environment holds what a server needs and nothing else, so that no PG… or
# RABBITMQ_… of the caller reaches it. With leashed=yes the program gets the signal when this script is killed.
become() {
    local user=$1 folder=$2 signal=$3 options=()
    shift 3
    if [[ $(id -u) -eq 0 ]]; then
        options=("--reuid=$(id -u "$user")" "--regid=$(id -g "$user")" --clear-groups)
    fi
    [[ ${leashed:-no} == no ]] || options+=(--pdeathsig "$signal")
    cd "$folder" || exit
    exec setsid setpriv "${options[@]}" -- env -i PATH="$PATH" HOME="$folder" USER="$user" LOGNAME="$user" \
        LC_ALL=C.UTF-8 ${TENANT_SYNC_TEST_RUN:+"TENANT_SYNC_TEST_RUN=$TENANT_SYNC_TEST_RUN"} \
        "$@" </dev/null >>"$folder/log" 2>&1
}

# is_running PID: also true for another user's process.
is_running() { [[ $(sed 's/.*) //' "/proc/$1/stat" 2>/dev/null) == [^Z]* ]]; }

# tree_of PID: the process and everything that descends from it.
tree_of() {
    local child children
    echo "$1"
    read -r -a children < <(cat "/proc/$1/task/"*/children 2>/dev/null) || true
    for child in "${children[@]}"; do tree_of "$child"; done
}

# end_process PID SIGNAL: sends the signal, and KILL if the process is still there after five seconds.
end_process() {
    local tries
    kill "-$2" "$1" 2>/dev/null || return 0
    for ((tries = 0; tries < 50; tries++)); do
        is_running "$1" || break
        sleep 0.1
    done
    kill -KILL "$1" 2>/dev/null || true
}
