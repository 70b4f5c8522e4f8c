# shellcheck shell=bash
# Running the command, and passing on what interrupts it.

command_pid=
run_mark=
interrupted=

# The command runs in the background so that a signal is noticed at once, but stays in our process group: ctrl-C reaches
# it by itself. A shell makes background commands ignore ctrl-C, hence --default-signal.
run_command() {
    local status restore=()
    ! env --default-signal=INT true 2>/dev/null || restore=(--default-signal=INT --default-signal=QUIT)
    run_mark=$$-$(random_password)
    env "${restore[@]}" TENANT_SYNC_TEST_RUN="$run_mark" "$@" <&0 &
    command_pid=$!
    while :; do
        interrupted=
        wait "$command_pid" && status=0 || status=$?
        [[ -n $interrupted ]] || break
    done
    command_pid=
    return "$status"
}

# on_signal NAME CODE: before the command runs, everything ends; later the command is told, and decides.
on_signal() {
    local pid
    [[ -n $command_pid ]] || exit "$2"
    interrupted=$1
    # A bare `return` would hand on the status of the interrupted `wait`, and end the script.
    if [[ $1 == INT ]] && came_from_terminal; then return 0; fi
    for pid in $(tree_of "$command_pid"); do kill "-$1" "$pid" 2>/dev/null || true; done
}

# Whether our process group is the one that the terminal sends ctrl-C to.
came_from_terminal() {
    local fields
    read -r -a fields <"/proc/$$/stat"
    # Our own name, "with-services", holds no space: group and terminal's group are the fifth and eighth word.
    [[ ${fields[4]} == "${fields[7]}" ]]
}

# Ends what the command left running, known by a variable that it inherited: nobody else's process has it.
stop_left_behind() {
    local pid pids
    [[ -n $run_mark ]] || return 0
    mapfile -t pids < <(grep -lszx "TENANT_SYNC_TEST_RUN=$run_mark" /proc/[0-9]*/environ | cut -d/ -f3)
    [[ ${#pids[@]} -gt 0 ]] || return 0
    say "ending ${#pids[@]} processes that the command left running"
    kill -TERM "${pids[@]}" 2>/dev/null || true
    for pid in "${pids[@]}"; do end_process "$pid" TERM; done
}
