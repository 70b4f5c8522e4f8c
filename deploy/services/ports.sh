# shellcheck shell=bash
# Free loopback ports. They lie below 32768: the kernel hands out higher ones to outgoing connections, and a client
# that keeps reconnecting to a stopped server can get the server's own port that way.

declare -A picked_ports=()

# pick_port VARIABLE: puts a port there that nobody on this machine uses.
pick_port() {
    local candidate tries
    for ((tries = 0; tries < 200; tries++)); do
        candidate=$((20000 + RANDOM % 12000))
        [[ -z ${picked_ports[$candidate]:-} ]] || continue
        if ! grep -qsE "^ *[0-9]+: [0-9A-F]+:$(printf %04X "$candidate") " /proc/net/tcp /proc/net/tcp6; then
            picked_ports[$candidate]=taken
            printf -v "$1" %s "$candidate"
            return
        fi
    done
    die "found no free port between 20000 and 31999"
}

# answers PORT: whether something accepts connections there.
answers() { (: <"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
