# What the scripts share: words to the person, ports, pids. Sourced, never run.
#
# Port plan: everything of one stack hangs on SG_PORT_BASE (8800), each port can be set alone:
#   +1 +2    chat of the gateways (SG_GATEWAY_1_PORT, SG_GATEWAY_2_PORT)
#   +3       STOMP over plain TCP (SG_TCP_PORT)
#   +11 +12  metrics of the storage workers (SG_STORE_1_PORT, SG_STORE_2_PORT)
#   +13 +14  RabbitMQ's own STOMP and Web STOMP, for comparison (SG_STOMP_PORT, SG_WEB_STOMP_PORT)
#   +15      management UI (SG_MANAGEMENT_PORT)
#   +25 +36  Erlang's own: distribution (SG_DIST_PORT), epmd (SG_EPMD_PORT)
#   +32 +72  PostgreSQL (SG_PG_PORT), AMQP (SG_AMQP_PORT)
# shellcheck shell=bash

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

say() {
    printf '%s\n' "$*"
}

warn() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
}

die() {
    warn "$@"
    exit 1
}

has() {
    command -v "$1" >/dev/null 2>&1
}

is_root() {
    [ "$(id -u)" -eq 0 ]
}

# Fills every SG_*_PORT that is not set yet from the base.
set_ports() {
    local base=${SG_PORT_BASE:-${1:-8800}}
    : "${SG_GATEWAY_1_PORT:=$((base + 1))}" "${SG_GATEWAY_2_PORT:=$((base + 2))}" "${SG_TCP_PORT:=$((base + 3))}"
    : "${SG_STORE_1_PORT:=$((base + 11))}" "${SG_STORE_2_PORT:=$((base + 12))}"
    : "${SG_STOMP_PORT:=$((base + 13))}" "${SG_WEB_STOMP_PORT:=$((base + 14))}"
    : "${SG_MANAGEMENT_PORT:=$((base + 15))}"
    : "${SG_DIST_PORT:=$((base + 25))}" "${SG_EPMD_PORT:=$((base + 36))}"
    : "${SG_PG_PORT:=$((base + 32))}" "${SG_AMQP_PORT:=$((base + 72))}"
    export SG_GATEWAY_1_PORT SG_GATEWAY_2_PORT SG_TCP_PORT SG_STORE_1_PORT SG_STORE_2_PORT SG_STOMP_PORT SG_WEB_STOMP_PORT
    export SG_MANAGEMENT_PORT SG_DIST_PORT SG_EPMD_PORT SG_PG_PORT SG_AMQP_PORT
}

port_answers() {
    (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

# need_free_port SG_AMQP_PORT "RabbitMQ (AMQP)": says which variable moves it.
need_free_port() {
    local port=${!1}
    if port_answers "$port"; then
        die "port $port, meant for $2, is in use by another program; set $1 (or SG_PORT_BASE for all ports) to another one"
    fi
}

# http_status PORT PATH: prints the status code, nothing when there is no answer.
http_status() {
    local line=""
    {
        exec 3<>"/dev/tcp/127.0.0.1/$1" &&
            printf 'GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n' "$2" >&3 &&
            IFS= read -r -t 5 line <&3
    } 2>/dev/null || true
    exec 3>&- || true
    line=${line#HTTP/1.? }
    printf '%s' "${line%% *}"
}

# wait_until SECONDS COMMAND…: polls; 1 when the time is up.
wait_until() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@"; do
        [ "$SECONDS" -lt "$deadline" ] || return 1
        sleep 0.1
    done
}

# A pid file holds the pid and its start time, so that a number used again by the system is never taken for ours.
pid_started_at() {
    local stat
    stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
    stat=${stat##*) }
    # shellcheck disable=SC2086
    set -- $stat
    printf '%s' "${20}"
}

# pid_write FILE PID
pid_write() {
    printf '%s %s\n' "$2" "$(pid_started_at "$2")" >"$1"
}

# pid_alive FILE: prints the pid when the process that was recorded still runs.
pid_alive() {
    local pid since
    read -r pid since 2>/dev/null <"$1" || return 1
    [ -n "$since" ] && [ "$(pid_started_at "$pid")" = "$since" ] || return 1
    # a zombie is over, though its number is still taken
    [[ $(cat "/proc/$pid/stat" 2>/dev/null) != *") Z "* ]] || return 1
    printf '%s' "$pid"
}

pid_gone() {
    ! pid_alive "$1" >/dev/null
}

# pid_stop FILE SIGNAL SECONDS: signals what FILE recorded, waits, then SIGKILL.
pid_stop() {
    local pid
    if pid=$(pid_alive "$1"); then
        kill "-$2" "$pid" 2>/dev/null || true
        if ! wait_until "$3" pid_gone "$1"; then
            warn "pid $pid did not end within $3 s: killing it"
            kill -KILL "$pid" 2>/dev/null || true
            wait_until 10 pid_gone "$1" || return 1
        fi
    fi
    rm -f "$1"
}

# npm_install FOLDER: what its lock file says, once.
npm_install() {
    local lock=$1/package-lock.json mark=$1/node_modules/.package-lock.json verb=ci
    if [ -e "$mark" ] && [ ! "$1/package.json" -nt "$mark" ] && [ ! "$lock" -nt "$mark" ]; then
        return 0
    fi
    [ -e "$lock" ] || verb=install
    say "npm $verb in ${1#"$ROOT"/}"
    if ! (cd "$1" && npm "$verb" --no-audit --no-fund --ignore-scripts --loglevel=error </dev/null); then
        die "npm $verb failed in $1: the packages it names could not be had (see above)"
    fi
    touch "$mark"
}

# launch PIDFILE LOG COMMAND…: in a session of its own, so that a Ctrl-C on the terminal reaches only the script.
launch() {
    local pidfile=$1 log=$2 pid
    shift 2
    setsid "$@" >>"$log" 2>&1 </dev/null &
    pid=$!
    pid_write "$pidfile" "$pid"
    disown "$pid"
}
