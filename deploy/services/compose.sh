# shellcheck shell=bash
# The services of docker-compose.yml, as a project of their own.

compose=()
project=

# compose_answers: whether there are Compose and an engine on this machine.
compose_answers() {
    case ${DOCKER_HOST:-unix://} in unix://*) ;; *) return 1 ;; esac
    command -v docker >/dev/null && timeout 10 docker info >/dev/null 2>&1 || return 1
    if docker compose version >/dev/null 2>&1; then
        compose=(docker compose)
    elif command -v docker-compose >/dev/null; then
        compose=(docker-compose)
    else
        return 1
    fi
}

# start_compose SERVICE…: false when they could not be brought up.
start_compose() {
    local service variable port started=$SECONDS
    project=tenant-sync-$(random_password)
    POSTGRES_PASSWORD=$(random_password)
    RABBITMQ_PASSWORD=$(random_password)
    FSYNC=$([[ ${durable:-no} == yes ]] && echo on || echo off)
    export POSTGRES_PASSWORD RABBITMQ_PASSWORD FSYNC
    for variable in INTERNAL_PORT EXTERNAL_PORT EXTERNAL_2_PORT RABBITMQ_PORT RABBITMQ_UI_PORT; do
        pick_port port
        export "$variable=$port"
    done
    say "starting $* with Docker Compose, as project $project"
    if ! compose up -d "$@" >&2 || ! await_compose "$@"; then
        say "Docker Compose could not bring them up; trying private servers"
        stop_compose
        return 1
    fi
    for service; do provide_compose "$service"; done
    say "ready after $((SECONDS - started)) s; published on 127.0.0.1 only"
}

compose() { "${compose[@]}" -f "${root:?}/docker-compose.yml" -p "$project" "$@"; }

# await_compose SERVICE…: waits until every container calls itself healthy.
await_compose() {
    local service container state deadline=$((SECONDS + 120))
    for service; do
        container=$(compose ps -q "$service") || return 1
        while state=$(docker inspect -f '{{.State.Status}} {{.State.Health.Status}}' "$container"); do
            [[ $state != 'running healthy' ]] || continue 2
            if [[ $state != running* || $SECONDS -gt $deadline ]]; then break; fi
            sleep 0.3
        done
        say "$service is $state; the end of its log:"
        docker logs --tail 30 "$container" >&2 || true
        return 1
    done
}

provide_compose() {
    local variable
    if [[ $1 == rabbitmq ]]; then
        provide rabbitmq "amqp://tenant-sync:$RABBITMQ_PASSWORD@127.0.0.1:$RABBITMQ_PORT"
        export TENANT_SYNC_TEST_MANAGEMENT_URL=http://127.0.0.1:$RABBITMQ_UI_PORT
    else
        variable=${1^^}
        variable=${variable//-/_}_PORT
        provide "$1" "postgres://postgres:$POSTGRES_PASSWORD@127.0.0.1:${!variable}/postgres"
    fi
}

stop_compose() {
    [[ -n $project ]] || return 0
    compose down --volumes --timeout 1 >/dev/null 2>&1 || say "docker compose -p $project down --volumes failed: run it again"
    project=
}
