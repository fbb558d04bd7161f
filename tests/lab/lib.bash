# shellcheck shell=bash
# A KVM host to test on: a real libvirtd with its networks, guests, a LAN and an "Internet", all in namespaces that end
# with the test. To be sourced:
#
#   source "$(dirname -- "${BASH_SOURCE[0]}")/../lab/lib.bash"
#   lab_start bookworm                 # or trixie; ended at exit, whatever happens
#   install_virt_forward
#   start_networks kube02 kube03
#   guest_add kube02; guest_add kube03
#   reaches kube02 kube03 tcp 4
#   source_seen kube02 kube03 10.17.3.21 4
#   refused lan kube03 udp 4
#   finish                             # "N passed, N failed", and the exit code that goes with it
#
# Places are: host, kube02, kube03, kube05, extra, open, isolated (the guest in the network of that name), lan, router, and
# internet (which is behind the router).

LAB_HOME=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
LAB_REPO=$(cd -- "$LAB_HOME/../.." && pwd)
LAB_TARGET=$(realpath -m -- "${CARGO_TARGET_DIR:-$LAB_REPO/target}")
readonly LAB_HOME LAB_REPO LAB_TARGET
readonly LAB_PORT=7000 LAB_LOG=/var/log/lab-syslog LAB_HOOK=/etc/libvirt/hooks/network

LAB_SUITE='' LAB_PID='' LAB_UNSHARE='' LAB_DIR='' LAB_LOCK=''
LAB_PASSED=0 LAB_FAILED=0

declare -A LAB_ADDRESS=(
  [host/4]=192.168.0.40 [host/6]=fd00:0:0:1::40
  [lan/4]=192.168.0.30 [lan/6]=fd00:0:0:1::30
  [router/4]=192.168.0.1 [router/6]=fd00:0:0:1::1
  [internet/4]=8.8.8.8
)
declare -A LAB_SUBNET=([kube02]=3 [kube03]=4 [kube05]=5 [extra]=6 [open]=7 [isolated]=9)
declare -A LAB_BRIDGE=(
  [kube02]=virbr_kube02 [kube03]=virbr_kube03 [kube05]=virbr_kube05 [extra]=virbr_extra [open]=virbr_open
  [isolated]=virbr_iso
)
for lab_name in "${!LAB_SUBNET[@]}"; do
  LAB_ADDRESS[$lab_name/4]=10.17.${LAB_SUBNET[$lab_name]}.21
  LAB_ADDRESS[$lab_name/6]=fd00:10:17:${LAB_SUBNET[$lab_name]}::21
done
unset lab_name

lab_die() {
  echo "lab: $*" >&2
  exit 1
}

lab_note() {
  printf '   # %s (after %s s)\n' "$*" "$SECONDS"
}

# ---- The lab itself ------------------------------------------------------------------------------------------------

# Starts a lab, with libvirtd running and no network started; in a clean root there is little beside it.
lab_start() { # SUITE [clean]
  local root
  [[ -z $LAB_PID ]] || lab_die "already started"
  ((EUID == 0)) || lab_die "must be run as root"
  LAB_SUITE=$1
  lab_build_probe
  root=$("$LAB_HOME/root" "$@")
  LAB_DIR=$(mktemp -d "${TMPDIR:-/tmp}/virt-forward-lab.XXXXXX")
  mkdir "$LAB_DIR/scratch"
  trap lab_stop EXIT
  # Once stopped by a signal, bash runs the EXIT trap only if the signal is one it handles.
  trap 'exit 129' HUP
  trap 'exit 130' INT
  trap 'exit 143' TERM
  lab_enter_root "$root"
  lab_furnish
  start_libvirtd
}

lab_build_probe() {
  local built=$LAB_TARGET/release/virt-forward-probe source=$LAB_REPO/tests/probe
  [[ $built -nt $source/src/main.rs && $built -nt $source/Cargo.toml ]] && return
  (cd -- "$LAB_REPO" && cargo build --quiet --release --package virt-forward-probe)
}

lab_enter_root() { # ROOT
  # Held until the lab ends: tests/lab/root does not change a root that is in use.
  exec {LAB_LOCK}>> "$1.lock"
  flock --shared "$LAB_LOCK"
  # The signal on the parent's death is for the day the test itself is killed with SIGKILL and no trap is run.
  setpriv --pdeathsig KILL \
    unshare --net --mount --pid --fork --kill-child --mount-proc \
    "$LAB_HOME/init" "$1" "$LAB_DIR/scratch" < /dev/null > "$LAB_DIR/init.log" 2>&1 &
  LAB_UNSHARE=$!
  lab_wait_for 1500 lab_is_ready || lab_die "$LAB_SUITE: the lab did not start: $(< "$LAB_DIR/init.log")"
}

lab_is_ready() {
  local child
  child=$(cat "/proc/$LAB_UNSHARE/task/$LAB_UNSHARE/children" 2> /dev/null) || return 1
  child=${child%% *}
  [[ -n $child && -e /proc/$child/root/run/lab-ready ]] || return 1
  LAB_PID=$child
}

# Runs COMMAND every 20 ms until it succeeds, at most TIMES.
lab_wait_for() { # TIMES COMMAND…
  local times=$1
  shift
  while ((times-- > 0)); do
    "$@" && return
    sleep 0.02
  done
  return 1
}

milliseconds_since() { # EPOCHREALTIME
  echo $(((${EPOCHREALTIME/./} - ${1/./}) / 1000))
}

# Where a path of the lab is seen from outside.
lab_path() { # PATH
  echo "/proc/$LAB_PID/root$1"
}

lab_furnish() {
  install -m 0755 "$LAB_TARGET/release/virt-forward-probe" "$(lab_path /usr/local/bin/virt-forward-probe)"
  install -m 0755 "$LAB_HOME/bin/tc" "$(lab_path /usr/local/sbin/tc)"
  if [[ -f $(lab_path /etc/libvirt/network.conf) ]]; then
    echo 'firewall_backend = "nftables"' >> "$(lab_path /etc/libvirt/network.conf)"
  fi
  # Debian's own network: nothing here needs it.
  rm -f -- "$(lab_path /etc/libvirt/qemu/networks)"/{,autostart/}default.xml
  : > "$(lab_path "$LAB_LOG")"
  lab_serve_log
  on_host bash -s < "$LAB_HOME/lan"
  lab_serve lan
  # A server on every address at once would answer from the wrong one of the router's two.
  lab_serve router --bind "${LAB_ADDRESS[router/4]}"
  lab_serve router --bind "${LAB_ADDRESS[internet/4]}"
  lab_serve router --bind "${LAB_ADDRESS[router/6]}"
}

lab_serve_log() {
  lab_in_background virt-forward-probe syslog-sink "$LAB_LOG"
  lab_wait_for 200 test -S "$(lab_path /dev/log)" || lab_die "nobody listens on /dev/log"
}

# Returns once the server listens: whoever asks earlier is refused by the guest itself.
lab_serve() { # PLACE [--bind ADDRESS]
  lab_in_background nsenter --net="/run/netns/$1" virt-forward-probe serve "$LAB_PORT" "${@:2}"
  lab_wait_for 250 lab_is_served "$1" "${3:-}" || lab_die "no server listens in $1"
}

lab_is_served() { # PLACE [ADDRESS]
  [[ -n $(on_host nsenter --net="/run/netns/$1" ss -Hltn "sport = :$LAB_PORT" ${2:+and src "[$2]"}) ]]
}

# Free of this shell's descriptors: a pipe to which it writes must end when the test does.
lab_in_background() { # COMMAND…
  # shellcheck disable=SC2016 # the inner shell expands it
  on_host bash -c 'exec setsid --fork "$@" < /dev/null > /dev/null 2>&1' bash "$@"
}

# Ends every process, mount and network of the lab. Harmless if there is none.
lab_stop() {
  local status=$?
  if [[ -n $LAB_UNSHARE ]]; then
    # The first process is gone only once all others of its PID namespace are, and unshare waits for it.
    kill -KILL "${LAB_PID:-$LAB_UNSHARE}" 2> /dev/null || true
    wait "$LAB_UNSHARE" 2> /dev/null || true
  fi
  [[ -z $LAB_DIR ]] || rm -rf -- "$LAB_DIR"
  [[ -z $LAB_LOCK ]] || exec {LAB_LOCK}>&-
  LAB_LOCK='' LAB_PID='' LAB_UNSHARE='' LAB_DIR=''
  return "$status"
}

# ---- Running things in it ------------------------------------------------------------------------------------------

# Runs a command on the lab's KVM host.
on_host() { # COMMAND…
  nsenter --target "$LAB_PID" --mount --net --pid -- \
    /usr/bin/env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    HOME=/root LC_ALL=C.UTF-8 LIBVIRT_DEFAULT_URI=network:///system "$@"
}

# Runs a command in a place.
in_guest() { # PLACE COMMAND…
  local place=$1
  shift
  case $place in
    host) on_host "$@" ;;
    internet) on_host nsenter --net=/run/netns/router -- "$@" ;;
    *) on_host nsenter --net="/run/netns/$place" -- "$@" ;;
  esac
}

# Writes stdin to a file of the lab, whole or not at all.
put_file() { # PATH
  mkdir -p -- "$(dirname -- "$(lab_path "$1")")"
  cat > "$(lab_path "$1.new")"
  mv -T -- "$(lab_path "$1.new")" "$(lab_path "$1")"
}

# ---- libvirt -------------------------------------------------------------------------------------------------------

start_libvirtd() {
  on_host libvirtd --daemon < /dev/null
  on_host virsh --quiet net-list > /dev/null
}

stop_libvirtd() {
  lab_end_libvirtd TERM
}

# As if it had crashed.
kill_libvirtd() {
  lab_end_libvirtd KILL
}

lab_end_libvirtd() { # SIGNAL
  local pid
  pid=$(< "$(lab_path /run/libvirtd.pid)")
  on_host kill -s "$1" "$pid"
  lab_wait_for 250 lab_process_gone "$pid" && return
  # libvirt 11.3 has a race of its own: about one SIGTERM in fifty, soon after a start, leaves it waiting for itself.
  # An init system kills it then, and so does this.
  lab_note "libvirtd does not end by itself: killed"
  on_host kill -s KILL "$pid" || true
  lab_wait_for 250 lab_process_gone "$pid" || lab_die "libvirtd ($pid) would not end"
}

# Below a systemd the processes have other numbers than in the lab's own /proc.
lab_process_gone() { # PID
  on_host test ! -e "/proc/$1"
}

restart_libvirtd() {
  stop_libvirtd
  start_libvirtd
}

# Makes it load its rules again. It answers a SIGHUP in a thread of its own, so wait until its rules have stood still.
sighup_libvirtd() {
  on_host kill -s HUP "$(< "$(lab_path /run/libvirtd.pid)")"
  sleep 0.3
  lab_rules_at_rest
}

# How long rules have to stand still, and how often that is tried.
LAB_REST=0.2 LAB_REST_TIMES=50

lab_rules_at_rest() {
  local before='' now times=$LAB_REST_TIMES
  while ((times-- > 0)); do
    # Without what counters have counted: packets may be on their way.
    now=$(on_host nft -s -a list ruleset 2> /dev/null | cksum)
    [[ $now == "$before" ]] && return
    before=$now
    sleep "$LAB_REST"
  done
  lab_die "the rules do not come to rest"
}

start_networks() { # NAME…
  local name
  for name in "$@"; do
    if ! on_host virsh --quiet net-info "$name" > /dev/null 2>&1; then
      on_host virsh --quiet net-define /dev/stdin < "$LAB_HOME/networks/$name.xml" > /dev/null
    fi
    on_host virsh --quiet net-start "$name" > /dev/null
  done
}

stop_networks() { # NAME…
  local name
  for name in "$@"; do
    on_host virsh --quiet net-destroy "$name" > /dev/null
  done
}

# Puts a guest into a running network.
guest_add() { # NETWORK
  on_host bash -s -- "$1" "${LAB_BRIDGE[$1]}" "${LAB_SUBNET[$1]}" < "$LAB_HOME/guest"
  lab_serve "$1"
}

# Puts a guest back into its network, which was stopped and is running again.
guest_plug() { # NETWORK
  on_host ip link set "tap${LAB_SUBNET[$1]}" master "${LAB_BRIDGE[$1]}" up
}

# The founding case: a routed network, two NAT networks, an isolated one, and a guest in each.
readonly FOUNDING=(kube02 kube03 kube05 isolated)

start_founding_case() {
  local name
  start_networks "${FOUNDING[@]}"
  for name in "${FOUNDING[@]}"; do guest_add "$name"; done
}

# ---- virt-forward --------------------------------------------------------------------------------------------------

# Puts the hook and the command in place, as packages do, and lets libvirtd notice. Without CONFIG there is no config
# file, and the defaults hold.
install_virt_forward() { # [CONFIG]
  place_virt_forward "$@"
  restart_libvirtd
}

# The same, of which a running libvirtd takes no notice: it looks for hooks only when it starts.
place_virt_forward() { # [CONFIG]
  local built=$LAB_TARGET/release
  [[ -x $built/virt-forward-hook && -x $built/virt-forward ]] ||
    lab_die "$built has no virt-forward-hook or no virt-forward: run 'cargo build --release' first"
  mkdir -p -- "$(lab_path /etc/libvirt/hooks)"
  install -m 0755 "$built/virt-forward-hook" "$(lab_path "$LAB_HOOK")"
  install -m 0755 "$built/virt-forward" "$(lab_path /usr/sbin/virt-forward)"
  install -D -m 0755 "$built/virt-forward-watch" "$(lab_path /usr/lib/virt-forward/virt-forward-watch)"
  (($# == 0)) || set_config "$1"
}

# A checkout with what `cargo build --release` has made, as packaging/install wants it.
furnish_tree() { # DIR
  mkdir -p -- "$(lab_path "$1/target/release")"
  (cd -- "$LAB_REPO" && tar -c Cargo.toml Cargo.lock packaging docs examples README*.md CHANGELOG.md LICENSE-*) | tar -C "$(lab_path "$1")" -x
  cp -- "$LAB_TARGET"/release/virt-forward{,-hook,-watch} "$(lab_path "$1/target/release")"
}

set_config() { # CONFIG
  put_file /etc/virt-forward/config.toml <<< "$1"
}

no_config() {
  rm -f -- "$(lab_path /etc/virt-forward/config.toml)"
}

# Runs the hook as an admin does by hand, on XML from stdin.
run_hook() { # NETWORK OPERATION SUBOPERATION
  on_host "$LAB_HOOK" "$1" "$2" "$3" -
}

# What was logged so far.
hook_log() {
  cat -- "$(lab_path "$LAB_LOG")"
}

# Whether that was logged; without TEXT, anything. The lab's log is written a moment after something was said.
log_says() { # [TEXT]
  lab_wait_for 100 lab_log_has "${1:-}"
}

lab_log_has() { # TEXT
  grep -q -F -- "$1" "$(lab_path "$LAB_LOG")"
}

clear_hook_log() {
  : > "$(lab_path "$LAB_LOG")"
}

# ---- Before and after ----------------------------------------------------------------------------------------------

# Everything about forwarding that the kernel of the lab's host keeps, without what changes by itself.
lab_state() {
  echo "# nft"
  on_host nft -s list ruleset 2>&1 | lab_sort_elements
  local save
  for save in iptables-save ip6tables-save; do
    echo "# $save"
    on_host "$save" 2>&1 | sed -e '/^#/d' -e 's/^\(:[^ ]* [^ ]*\) .*/\1/'
  done
  # Reading a table with iptables-legacy makes it: that is told apart as well.
  on_host bash -c '
    cat /proc/net/ip_tables_names /proc/net/ip6_tables_names 2> /dev/null | sed "s/^/# legacy: /" | sort
    [[ ! -s /proc/net/ip_tables_names ]] || iptables-legacy-save
    [[ ! -s /proc/net/ip6_tables_names ]] || ip6tables-legacy-save
  ' 2>&1 | sed -e '/^# Gen/d' -e '/^# Comp/d' -e 's/^\(:[^ ]* [^ ]*\) .*/\1/'
  echo "# sysctl"
  on_host sysctl -a -r '^net\.ipv[46]\.(ip_forward$|conf\..*\.(forwarding|accept_ra|force_forwarding)$)' 2>&1 | sort
}

# Lists the elements of each set in order of their names: of some sets, nft tells the order they came in.
lab_sort_elements() {
  awk '
    /^[ \t]*elements = \{/ { open = 1; text = ""; sub(/^[ \t]*elements = \{/, "") }
    open {
      text = text $0 " "
      if (!/\}[ \t]*$/) next
      open = 0
      sub(/\}[ \t]*$/, "", text)
      count = split(text, element, /,[ \t]*/)
      for (i = 1; i <= count; i++) {
        gsub(/^[ \t]+|[ \t]+$/, "", element[i])
        for (j = i; j > 1 && element[j - 1] > element[j]; j--) {
          swapped = element[j]; element[j] = element[j - 1]; element[j - 1] = swapped
        }
      }
      print "\t\telements:"
      for (i = 1; i <= count; i++) print "\t\t\t" element[i]
      next
    }
    { print }
  '
}

snapshot() { # NAME
  lab_state > "$LAB_DIR/$1.state"
}

# Asserts that nothing has changed since `snapshot NAME`.
same_as() { # NAME [WHAT]
  lab_state > "$LAB_DIR/now.state"
  if diff -u --label "$1" --label now "$LAB_DIR/$1.state" "$LAB_DIR/now.state" > "$LAB_DIR/diff"; then
    ok "${2:-rules and sysctls are the same as: $1}"
  else
    not_ok "${2:-rules and sysctls are the same as: $1}" "$(head -n 60 -- "$LAB_DIR/diff")"
  fi
}

# ---- Assertions ----------------------------------------------------------------------------------------------------

ok() { # WHAT
  LAB_PASSED=$((LAB_PASSED + 1))
  echo "ok     $LAB_SUITE: $1"
}

not_ok() { # WHAT [WHY]
  LAB_FAILED=$((LAB_FAILED + 1))
  echo "FAILED $LAB_SUITE: $1"
  [[ -z ${2:-} ]] || printf '       | %s\n' "${2//$'\n'/$'\n       | '}"
}

# Asserts that a command succeeds.
check() { # WHAT COMMAND…
  local what=$1 output
  shift
  if output=$("$@" 2>&1); then ok "$what"; else not_ok "$what" "$output"; fi
}

# Asserts that two texts are the same.
equal() { # WHAT EXPECTED ACTUAL
  if [[ $2 == "$3" ]]; then ok "$1"; else not_ok "$1" "expected: $2"$'\n'"but got:  $3"; fi
}

finish() {
  echo "$LAB_SUITE: $LAB_PASSED passed, $LAB_FAILED failed"
  ((LAB_FAILED == 0)) || exit 1
  exit 0
}

# Sends one question. Leaves in LAB_VERDICT: answered, refused, no answer, or error; and in LAB_SAID what was said.
# ICMP answers do not tell whom the other side saw.
lab_ask() { # FROM ADDRESS icmp|tcp|udp TIMEOUT-MS
  local status=0
  if [[ $3 == icmp ]]; then
    lab_ping "$@"
    return
  fi
  LAB_SAID=$(in_guest "$1" virt-forward-probe "$3" "$2" "$LAB_PORT" --timeout-ms "$4" 2>&1 < /dev/null) || status=$?
  case $status in
    0) LAB_VERDICT=answered ;;
    3) LAB_VERDICT=refused ;;
    4) LAB_VERDICT='no answer' ;;
    *) LAB_VERDICT=error ;;
  esac
}

lab_ping() { # FROM ADDRESS icmp TIMEOUT-MS
  local status=0
  LAB_SAID=$(in_guest "$1" ping -n -c 1 -W "$(lab_seconds "$4")" "$2" 2>&1 < /dev/null) || status=$?
  case $status in
    0) LAB_VERDICT=answered ;;
    1) [[ $LAB_SAID == *nreachable* || $LAB_SAID == *prohibited* ]] && LAB_VERDICT=refused || LAB_VERDICT='no answer' ;;
    *) LAB_VERDICT=error ;;
  esac
}

lab_seconds() { # MILLISECONDS
  printf '%d.%03d' $(($1 / 1000)) $(($1 % 1000))
}

lab_address() { # PLACE FAMILY
  local address=${LAB_ADDRESS[$1/$2]:-}
  [[ -n $address ]] || lab_die "$1 has no IPv$2 address"
  echo "$address"
}

lab_pair() { # FROM TO PROTOCOL FAMILY
  printf '%-8s -> %-8s %-4s IPv%s' "$@"
}

# Asserts that TO answers FROM.
reaches() { # FROM TO [icmp|tcp|udp] [4|6]
  local protocol=${3:-tcp} family=${4:-4} what
  what="$(lab_pair "$1" "$2" "$protocol" "$family") reached"
  lab_ask "$1" "$(lab_address "$2" "$family")" "$protocol" 2000
  if [[ $LAB_VERDICT == answered ]]; then ok "$what"; else not_ok "$what" "$LAB_VERDICT: $LAB_SAID"; fi
}

# Asserts that TO, which is alive, cannot be reached from FROM. Two ways of not being reached are right: somebody said
# no, or nothing came back. A missing route or a dead server is neither.
refused() { # FROM TO [icmp|tcp|udp] [4|6]
  local protocol=${3:-tcp} family=${4:-4} address what
  address=$(lab_address "$2" "$family")
  what="$(lab_pair "$1" "$2" "$protocol" "$family") refused"
  lab_ask "$2" "$address" "$protocol" 2000
  if [[ $LAB_VERDICT != answered ]]; then
    not_ok "$what" "the server does not even answer itself: $LAB_VERDICT: $LAB_SAID"
    return
  fi
  lab_ask "$1" "$address" "$protocol" 300
  case $LAB_VERDICT in
    refused) ok "$what" ;;
    'no answer') ok "$what (no answer)" ;;
    *) not_ok "$what" "$LAB_VERDICT: $LAB_SAID" ;;
  esac
}

# Asserts that TO saw that address as the caller's, over TCP and UDP.
source_seen() { # FROM TO ADDRESS [4|6]
  local protocol family=${4:-4} what
  for protocol in tcp udp; do
    what="$(lab_pair "$1" "$2" "$protocol" "$family") seen as $3"
    lab_ask "$1" "$(lab_address "$2" "$family")" "$protocol" 2000
    if [[ $LAB_VERDICT == answered && $LAB_SAID == "$3" ]]; then
      ok "$what"
    else
      not_ok "$what" "$LAB_VERDICT: $LAB_SAID"
    fi
  done
}

# Asserts that TO saw the caller's own address.
own_address_seen() { # FROM TO [4|6]
  source_seen "$1" "$2" "$(lab_address "$1" "${3:-4}")" "${3:-4}"
}

# Asserts that what FROM sends from an address that is not its own gets nowhere near TO: FROM must have sent it, and it
# must not have come to TO, nor anything else from FROM, as it would if the address were rewritten on the way.
forged() { # FROM TO ADDRESS [4|6]
  local from=$1 to=$2 source=$3 family=${4:-4} what target sent arrived
  what="$(lab_pair "$from" "$to" any "$family") nothing from $source"
  target=$(lab_address "$to" "$family")
  lab_count_arrivals "$to" "$family"
  in_guest "$from" bash -s -- "$source" "$target" "$family" "$LAB_PORT" << 'EOF'
source=$1 target=$2 family=$3 port=$4
[[ $family == 4 ]] && bits=32 || bits=128
ip addr add "$source/$bits" dev eth0 $([[ $family == 4 ]] || echo nodad)
nft -f - << NFT
add table inet lab_sent
add chain inet lab_sent out { type filter hook output priority 0; }
add counter inet lab_sent seen
add rule inet lab_sent out oifname "eth0" ip${family#4} saddr $source ip${family#4} daddr $target counter name seen
NFT
virt-forward-probe tcp "$target" "$port" --bind "$source" --timeout-ms 200 > /dev/null 2>&1 &
virt-forward-probe udp "$target" "$port" --bind "$source" --timeout-ms 200 > /dev/null 2>&1 &
ping -n -c 1 -W 0.2 -I "$source" "$target" > /dev/null 2>&1 &
wait
EOF
  sent=$(lab_counted "$from" lab_sent)
  arrived=$(lab_counted "$to" lab_arrived)
  in_guest "$from" bash -s -- "$source" "$family" << 'EOF'
nft delete table inet lab_sent
[[ $2 == 4 ]] && bits=32 || bits=128
ip addr del "$1/$bits" dev eth0
EOF
  in_guest "$to" nft delete table inet lab_arrived
  if ((sent >= 3 && arrived == 0)); then
    ok "$what ($sent sent)"
  else
    not_ok "$what" "$sent packets sent, $arrived arrived"
  fi
}

# Counts whatever new comes to a guest over the wire. Not neighbour discovery, which is between it and the host.
lab_count_arrivals() { # PLACE FAMILY
  in_guest "$1" nft -f - << EOF
add table inet lab_arrived
add chain inet lab_arrived in { type filter hook prerouting priority 0; }
add counter inet lab_arrived seen
add rule inet lab_arrived in iifname "eth0" meta nfproto ipv$2 tcp dport $LAB_PORT counter name seen
add rule inet lab_arrived in iifname "eth0" meta nfproto ipv$2 udp dport $LAB_PORT counter name seen
add rule inet lab_arrived in iifname "eth0" icmp type echo-request counter name seen
add rule inet lab_arrived in iifname "eth0" icmpv6 type echo-request counter name seen
EOF
}

lab_counted() { # PLACE TABLE
  in_guest "$1" nft list counter inet "$2" seen | sed -n 's/.*packets \([0-9]*\) bytes.*/\1/p'
}
