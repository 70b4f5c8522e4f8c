# shellcheck shell=bash
# Private PostgreSQL servers.

PG_BIN=
postgres_password=
declare -A cluster_pids=() cluster_ports=() cluster_folders=()

# find_postgres: sets PG_BIN to the newest supported server programs of this machine.
find_postgres() {
    local folder version newest=0 candidates=()
    shopt -s nullglob
    candidates=(/usr/lib/postgresql/*/bin /usr/pgsql-*/bin)
    shopt -u nullglob
    if [[ -n ${TENANT_SYNC_TEST_PG_BIN:-} ]]; then
        candidates=("$TENANT_SYNC_TEST_PG_BIN")
    else
        ! command -v pg_config >/dev/null || candidates+=("$(pg_config --bindir)")
        ! command -v postgres >/dev/null || candidates+=("$(dirname "$(readlink -f "$(command -v postgres)")")")
    fi
    for folder in "${candidates[@]}"; do
        [[ -x $folder/postgres && -x $folder/initdb ]] || continue
        version=$("$folder/postgres" --version | sed -E 's/^[^0-9]*([0-9]+).*/\1/')
        if ((version >= 14 && version <= 18 && version > newest)); then newest=$version PG_BIN=$folder; fi
    done
    [[ $newest -gt 0 ]]
}

# start_cluster NAME FOLDER: begins to make and start a server. The subshell that makes the cluster becomes the server, so
# that its pid is known from the start.
start_cluster() {
    local folder=$2 user port
    user=$(server_user postgres)
    pick_port port
    [[ -n $postgres_password ]] || postgres_password=$(random_password)
    server_folder "$folder" "$user"
    (
        trap - EXIT INT TERM HUP
        create_cluster "$folder" "$user" "$port"
        become "$user" "$folder" QUIT "$PG_BIN/postgres" -D "$folder/data"
    ) &
    cluster_pids[$1]=$!
    disown
    cluster_ports[$1]=$port
    cluster_folders[$1]=$folder
}

create_cluster() {
    local folder=$1 user=$2 port=$3 locale=C.UTF-8
    locale -a 2>/dev/null | grep -qixE 'C\.utf-?8' || locale=C
    printf '%s\n' "$postgres_password" >"$folder/password"
    [[ $(id -u) -ne 0 ]] || chown "$user" "$folder/password"
    (become "$user" "$folder" TERM "$PG_BIN/initdb" -D "$folder/data" -U postgres --pwfile="$folder/password" \
        --auth=scram-sha-256 --encoding=UTF8 --locale="$locale" --no-sync)
    cluster_settings "$port" >>"$folder/data/postgresql.conf"
}

cluster_settings() {
    cat <<TEXT
listen_addresses = '127.0.0.1'
port = $1
unix_socket_directories = ''
password_encryption = 'scram-sha-256'
max_connections = 300
shared_buffers = '256MB'
max_wal_size = '4GB'
max_prepared_transactions = 10
wal_level = logical
TEXT
    if [[ ${durable:-no} == no ]]; then
        # A killed server keeps what it committed; only a machine that loses power would not.
        printf '%s\n' 'fsync = off' 'full_page_writes = off'
    fi
}

# await_cluster NAME: waits until the server accepts connections; false when it ended or took too long.
await_cluster() {
    local tries pid=${cluster_pids[$1]} state=${cluster_folders[$1]}/data/postmaster.pid
    for ((tries = 0; tries < 600; tries++)); do
        # The eighth line of this file is how the server tells pg_ctl that it is ready.
        [[ $(sed -n '8s/ *$//p' "$state" 2>/dev/null) != ready ]] || return 0
        is_running "$pid" || return 1
        sleep 0.1
    done
    return 1
}

cluster_url() { echo "postgres://postgres:$postgres_password@127.0.0.1:${cluster_ports[$1]}/postgres"; }

# The clusters are thrown away, so they are stopped without a checkpoint.
stop_clusters() {
    local name
    for name in "${!cluster_pids[@]}"; do signal_cluster "$name"; done
    for name in "${!cluster_pids[@]}"; do end_process "${cluster_pids[$name]}" QUIT; done
}

# Until the server runs, its process is the shell that makes the cluster, with initdb below it.
signal_cluster() {
    local process pid=${cluster_pids[$1]} signal=TERM
    [[ $(readlink "/proc/$pid/exe") != */postgres ]] || signal=QUIT
    for process in $(tree_of "$pid"); do kill "-$signal" "$process" 2>/dev/null || true; done
}
