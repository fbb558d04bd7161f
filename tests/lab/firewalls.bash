# shellcheck shell=bash
# The other firewalls of a KVM host, and virt-forward's own daemon, each run in the lab as it runs on a machine. To be
# sourced after lib.bash:
#
#   start_docker [OPTION…]   stop_docker      restart_docker      docker_network create|rm NAME
#   start_bus, start_firewalld   stop_firewalld   restart_firewalld
#   start_ufw                stop_ufw
#   load_nftables_conf < RULES
#   start_watch              stop_watch
#   back_after FROM TO PROTOCOL FAMILY SINCE
#
# firewalld speaks over D-Bus, and libvirtd looks for a bus only when it starts: so start_bus, and then libvirtd again.

# ---- Daemons in the lab --------------------------------------------------------------------------------------------

# Runs a daemon in the lab, free of this shell, with its output in /var/log/NAME.log.
lab_daemon() { # NAME COMMAND…
  # shellcheck disable=SC2016 # the inner shells expand it
  on_host bash -c '
    name=$1
    shift
    exec setsid --fork bash -c '\''
      echo $$ > "/run/lab-$0.pid"
      exec "$@" < /dev/null >> "/var/log/$0.log" 2>&1
    '\'' "$name" "$@"
  ' bash "$@" < /dev/null > /dev/null 2>&1
}

# Its process in the lab, if it was started.
lab_daemon_pid() { # NAME
  cat -- "$(lab_path "/run/lab-$1.pid")" 2> /dev/null
}

lab_daemon_log() { # NAME
  cat -- "$(lab_path "/var/log/$1.log")" 2> /dev/null
}

lab_end_daemon() { # NAME
  local pid
  pid=$(lab_daemon_pid "$1") || lab_die "$1 does not run"
  rm -f -- "$(lab_path "/run/lab-$1.pid")"
  on_host kill -s TERM "$pid" || true
  lab_wait_for 1000 lab_process_gone "$pid" && return
  # As an init system does.
  lab_note "$1 does not end by itself: killed"
  on_host kill -s KILL "$pid" || true
  lab_wait_for 1000 lab_process_gone "$pid" || lab_die "$1 ($pid) would not end"
}

# ---- Docker --------------------------------------------------------------------------------------------------------

# Docker sets the policy of FORWARD to DROP when it is the one that switches net.ipv4.ip_forward on.
start_docker() { # [OPTION…]
  # It wants to see cgroups, and makes none unless a container runs.
  on_host mountpoint -q /sys/fs/cgroup || on_host mount -t cgroup2 cgroup2 /sys/fs/cgroup
  on_host rm -f /run/docker.pid
  lab_daemon dockerd dockerd --storage-driver=vfs --data-root /tmp/docker --exec-root /run/docker \
    --pidfile /run/docker.pid "$@"
  lab_wait_for 1000 docker_api GET /_ping > /dev/null 2>&1 || lab_die "dockerd: $(lab_daemon_log dockerd | tail -n 5)"
}

stop_docker() {
  lab_end_daemon dockerd
}

restart_docker() { # [OPTION…]
  stop_docker
  start_docker "$@"
}

# Debian 13 has the docker command in a package of its own, and 40 MB large.
docker_api() { # METHOD PATH [JSON]
  on_host python3 - "$@" << 'EOF'
import http.client, socket, sys

connection = http.client.HTTPConnection("localhost")
connection.sock = socket.socket(socket.AF_UNIX)
connection.sock.connect("/run/docker.sock")
connection.request(sys.argv[1], sys.argv[2], *sys.argv[3:4], headers={"Content-Type": "application/json"})
answer = connection.getresponse()
print(answer.read().decode())
sys.exit(answer.status >= 300)
EOF
}

docker_network() { # create|rm NAME
  case $1 in
    create) docker_api POST /networks/create "{\"Name\": \"$2\"}" ;;
    rm) docker_api DELETE "/networks/$2" ;;
    *) lab_die "docker_network $1?" ;;
  esac
}

# ---- firewalld -----------------------------------------------------------------------------------------------------

start_bus() {
  on_host mkdir -p /run/dbus
  lab_daemon dbus dbus-daemon --system --nofork --nopidfile
  lab_wait_for 250 test -S "$(lab_path /run/dbus/system_bus_socket)" || lab_die "dbus-daemon: $(lab_daemon_log dbus)"
}

start_firewalld() {
  lab_daemon firewalld firewalld --nofork --nopid
  lab_wait_for 500 on_host firewall-cmd --state > /dev/null 2>&1 ||
    lab_die "firewalld: $(lab_daemon_log firewalld | tail -n 5)"
  libvirt_has_followed
}

# On each start and reload of firewalld libvirt takes its rules away, network after network, and sets them anew, which
# takes it some two seconds. Returns once nothing has changed for one.
libvirt_has_followed() {
  local before='' now quiet=0 times=100
  while ((times-- > 0)); do
    now=$(on_host nft -a -s list ruleset 2> /dev/null | cksum)
    if [[ $now == "$before" ]]; then quiet=$((quiet + 1)); else quiet=0; fi
    ((quiet < 10)) || return 0
    before=$now
    sleep 0.1
  done
  lab_die "libvirt's rules do not come to rest"
}

stop_firewalld() {
  lab_end_daemon firewalld
}

restart_firewalld() {
  stop_firewalld
  start_firewalld
}

# ---- ufw, nftables.service -----------------------------------------------------------------------------------------

start_ufw() {
  on_host ufw --force enable
}

stop_ufw() {
  on_host ufw --force disable
}

# What nftables.service does with /etc/nftables.conf when it is restarted: the rules of all others are gone.
load_nftables_conf() { # < RULES
  { echo 'flush ruleset' && cat; } | put_file /etc/nftables.conf
  on_host nft -f /etc/nftables.conf
}

# ---- virt-forward watch --------------------------------------------------------------------------------------------

# Returns once it says that it is ready, as it says to systemd.
start_watch() {
  : > "$(lab_path /run/lab-notified)"
  if [[ ! -S $(lab_path /run/lab-notify) ]]; then
    lab_in_background virt-forward-probe syslog-sink /run/lab-notified --socket /run/lab-notify
    lab_wait_for 200 test -S "$(lab_path /run/lab-notify)" || lab_die "nobody listens on /run/lab-notify"
  fi
  lab_daemon watch env NOTIFY_SOCKET=/run/lab-notify virt-forward watch
  lab_wait_for 500 lab_watch_is_ready || lab_die "virt-forward watch is not ready: $(lab_daemon_log watch)"
}

lab_watch_is_ready() {
  grep -q READY=1 "$(lab_path /run/lab-notified)"
}

stop_watch() {
  lab_end_daemon watch
}

# ---- How long until -------------------------------------------------------------------------------------------------

readonly LAB_GIVE_UP_MS=20000

# Asks every 20 ms, each time anew, until TO answers FROM and sees its own address. Prints the milliseconds since then;
# fails after 20 s.
back_after() { # FROM TO tcp|udp FAMILY EPOCHREALTIME
  in_guest "$1" bash -s -- "$3" "$(lab_address "$2" "$4")" "$LAB_PORT" "$(lab_address "$1" "$4")" "$5" \
    "$LAB_GIVE_UP_MS" << 'EOF'
until [[ $(virt-forward-probe "$1" "$2" "$3" --timeout-ms 20 2> /dev/null) == "$4" ]]; do
  ((${EPOCHREALTIME/./} - ${5/./} < $6 * 1000)) || exit 1
  sleep 0.02
done
echo $(((${EPOCHREALTIME/./} - ${5/./}) / 1000))
EOF
}

# The same for a command in the lab: until it succeeds.
succeeds_after() { # EPOCHREALTIME COMMAND…
  local since=$1
  shift
  until "$@" > /dev/null 2>&1; do
    (($(milliseconds_since "$since") < LAB_GIVE_UP_MS)) || return 1
    sleep 0.02
  done
  milliseconds_since "$since"
}
