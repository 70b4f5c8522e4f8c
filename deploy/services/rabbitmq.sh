# shellcheck shell=bash
# A private RabbitMQ node with its management UI. Erlang's port mapper (epmd) is started here, too: the node would
# start one that listens everywhere and stays behind.

rabbitmq_pid=
epmd_pid=
rabbitmq_folder=
rabbitmq_port=
rabbitmq_ui_port=
rabbitmq_password=

# find_rabbitmq: prints the node's own start script. The one in Debian's /usr/sbin insists on the system's node.
find_rabbitmq() {
    local script candidates=()
    shopt -s nullglob
    candidates=(/usr/lib/rabbitmq/bin/rabbitmq-server /usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin/rabbitmq-server)
    shopt -u nullglob
    ! command -v rabbitmq-server >/dev/null || candidates+=("$(readlink -f "$(command -v rabbitmq-server)")")
    for script in "${candidates[@]}"; do
        if [[ -x $script && -e $(dirname "$script")/rabbitmq-env ]]; then echo "$script" && return; fi
    done
    return 1
}

find_epmd() {
    local candidates=()
    shopt -s nullglob
    candidates=(/usr/lib/erlang/erts-*/bin/epmd /usr/lib64/erlang/erts-*/bin/epmd)
    shopt -u nullglob
    command -v epmd || { [[ ${#candidates[@]} -gt 0 ]] && echo "${candidates[-1]}"; }
}

# start_rabbitmq FOLDER: begins to start a node with its data there. Ports and password that are already set are kept,
# so that a node that was killed comes back where it was.
start_rabbitmq() {
    local folder=$1 user script epmd_port distribution_port
    rabbitmq_folder=$folder
    user=$(server_user rabbitmq)
    script=$(find_rabbitmq)
    pick_port epmd_port
    pick_port distribution_port
    [[ -n $rabbitmq_port ]] || pick_port rabbitmq_port
    [[ -n $rabbitmq_ui_port ]] || pick_port rabbitmq_ui_port
    [[ -n $rabbitmq_password ]] || rabbitmq_password=$(random_password)
    server_folder "$folder" "$user"
    rabbitmq_settings >"$folder/rabbitmq.conf"
    echo '[rabbitmq_management].' >"$folder/enabled_plugins"
    : >"$folder/rabbitmq-env.conf"
    chmod 644 "$folder/rabbitmq.conf" "$folder/enabled_plugins" "$folder/rabbitmq-env.conf"
    (
        trap - EXIT INT TERM HUP
        become "$user" "$folder" TERM "$(find_epmd)" -address 127.0.0.1 -port "$epmd_port"
    ) &
    epmd_pid=$!
    disown
    (
        trap - EXIT INT TERM HUP
        become_node "$user" "$folder" "$script" "$epmd_port" "$distribution_port"
    ) &
    rabbitmq_pid=$!
    disown
}

rabbitmq_settings() {
    cat <<TEXT
listeners.tcp.1 = 127.0.0.1:$rabbitmq_port
management.tcp.ip = 127.0.0.1
management.tcp.port = $rabbitmq_ui_port
default_user = tenant-sync
default_pass = $rabbitmq_password
TEXT
}

# An idle scheduler sleeps at once (+sbwt none …) instead of spinning, which would take time from what runs beside it.
# RABBITMQ_ALLOW_INPUT makes the start script become the node instead of its parent, so that the pid is the node's.
become_node() {
    local user=$1 folder=$2 script=$3
    become "$user" "$folder" KILL env \
        ERL_EPMD_ADDRESS=127.0.0.1 ERL_EPMD_PORT="$4" \
        RABBITMQ_DIST_PORT="$5" \
        RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS='-kernel inet_dist_use_interface {127,0,0,1} +sbwt none +sbwtdcpu none +sbwtdio none' \
        RABBITMQ_NODENAME=tenant-sync@localhost \
        RABBITMQ_CONF_ENV_FILE="$folder/rabbitmq-env.conf" \
        RABBITMQ_CONFIG_FILE="$folder/rabbitmq.conf" \
        RABBITMQ_ENABLED_PLUGINS_FILE="$folder/enabled_plugins" \
        RABBITMQ_MNESIA_BASE="$folder/mnesia" \
        RABBITMQ_LOG_BASE="$folder" RABBITMQ_LOGS=- \
        RABBITMQ_ALLOW_INPUT=1 RABBITMQ_SERVER_START_ARGS=-noinput \
        "$script"
}

# await_rabbitmq: waits until clients and the management API are served; false when the node ended or took too long.
# The ports of a node that failed are given up.
await_rabbitmq() {
    local tries
    for ((tries = 0; tries < 600; tries++)); do
        if answers "$rabbitmq_port" && management_answers; then return 0; fi
        is_running "$rabbitmq_pid" || break
        sleep 0.1
    done
    stop_rabbitmq
    rabbitmq_port='' rabbitmq_ui_port=''
    return 1
}

management_answers() {
    local token status
    token=$(printf %s "tenant-sync:$rabbitmq_password" | base64 -w0)
    status=$( (
        exec 3<>"/dev/tcp/127.0.0.1/$rabbitmq_ui_port"
        printf 'GET /api/overview HTTP/1.0\r\nAuthorization: Basic %s\r\n\r\n' "$token" >&3
        read -r -t 5 -u 3 _ status _ && echo "$status"
    ) 2>/dev/null) || return 1
    [[ $status == 200 ]]
}

rabbitmq_url() { echo "amqp://tenant-sync:$rabbitmq_password@127.0.0.1:$rabbitmq_port"; }

# The node is thrown away, so nobody waits for its shutdown.
stop_rabbitmq() {
    [[ -z $rabbitmq_pid ]] || end_process "$rabbitmq_pid" KILL
    [[ -z $epmd_pid ]] || end_process "$epmd_pid" KILL
    [[ -z $rabbitmq_folder ]] || stop_stray_epmd "$rabbitmq_folder"
    rabbitmq_pid='' epmd_pid='' rabbitmq_folder=''
}

# stop_stray_epmd FOLDER: a node whose epmd was killed starts another one, as a daemon that outlives it. What runs for
# this node is known by the home folder that become() gave it.
stop_stray_epmd() {
    local pid pids
    mapfile -t pids < <(grep -lszxF "HOME=$1" /proc/[0-9]*/environ | cut -d/ -f3)
    for pid in "${pids[@]}"; do end_process "$pid" KILL; done
}
