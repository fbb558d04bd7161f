# shellcheck shell=bash
# What the cases share. They run on the machine itself, and speak as tests in a lab do (tests/lab/lib.bash,
# tests/live/claims.bash): the host is the machine, with its own systemd and journal. To be sourced, with the case's
# arguments:
#
#   source "$(dirname -- "${BASH_SOURCE[0]}")/../inside/lib.bash"
#   machine_begin "$@"          # SUITE BOOT; then BOOT is the number of this boot

CARGO_TARGET_DIR=/srv/share/target
# shellcheck source=../../live/claims.bash
source "$(dirname -- "${BASH_SOURCE[0]}")/../../live/claims.bash"

# The hook is where a package has it.
readonly DEB=/srv/share/virt-forward.deb
# Emulation is slow, and an answer that comes late is still an answer.
readonly SLOWNESS=5
BOOT=1

# ---- The machine as the host of a lab ------------------------------------------------------------------------------

lab_path() { # PATH
  echo "$1"
}

on_host() { # COMMAND…
  env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 \
    LIBVIRT_DEFAULT_URI=network:///system DEBIAN_FRONTEND=noninteractive "$@"
}

eval "lab_ask_at_once() $(declare -f lab_ask | tail -n +2)"
lab_ask() { # FROM ADDRESS PROTOCOL TIMEOUT-MS
  lab_ask_at_once "$1" "$2" "$3" $(($4 * SLOWNESS))
}

# libvirtd takes seconds here from the rules of one network to those of the next.
# shellcheck disable=SC2034 # for lab_rules_at_rest
LAB_REST=4 LAB_REST_TIMES=30

start_libvirtd() {
  on_host systemctl start libvirtd
}

restart_libvirtd() {
  on_host systemctl restart libvirtd
}

stop_libvirtd() {
  on_host systemctl stop libvirtd.service
}

hook_log() {
  on_host journalctl --no-pager --boot --identifier virt-forward --output cat --since "@$LOG_SINCE"
}

clear_hook_log() {
  sleep 1
  LOG_SINCE=$(date +%s)
}

lab_log_has() { # TEXT
  hook_log | grep -q -F -- "$1"
}

# ---- A case --------------------------------------------------------------------------------------------------------

machine_begin() { # SUITE BOOT
  LAB_SUITE=$1 BOOT=$2
  # shellcheck disable=SC2034 # for lib.bash
  LAB_DIR=$(mktemp -d)
  LOG_SINCE=$(date +%s)
  install -m 0755 "$CARGO_TARGET_DIR/release/virt-forward-probe" /usr/local/bin/virt-forward-probe
  lab_note "boot $BOOT: $(uname -r), libvirt $(on_host virsh --version), $(on_host systemctl --version | head -n 1)"
}

# The LAN and what is behind it, as in a lab. After a reboot libvirtd may have started networks by then.
machine_lan() {
  if ((BOOT == 1)); then on_host bash "$LAB_HOME/lan"; else on_host bash "$LAB_HOME/lan" forwarding; fi
  lab_serve lan
  lab_serve router --bind "${LAB_ADDRESS[router/4]}"
  lab_serve router --bind "${LAB_ADDRESS[internet/4]}"
  lab_serve router --bind "${LAB_ADDRESS[router/6]}"
}

# libvirtd starts these networks at each boot from now on.
autostart() { # NETWORK…
  local name
  for name in "$@"; do on_host virsh --quiet net-autostart "$name"; done
}

# After a reboot the networks are there, and the guests are not.
guests_of_founding_case() {
  local name
  for name in "${FOUNDING[@]}"; do guest_add "$name"; done
}

install_package() {
  check "apt install virt-forward.deb" on_host apt-get -q -y install "$DEB"
}

# What labs claim at length (founding_case_holds), in as many packets as an emulated machine sends in a minute.
founding_case_holds_here() {
  local name family
  kubes_reach_each_other
  open_to kube02 lan 4
  open_to lan kube02 4
  for name in kube03 kube05; do
    source_seen "$name" lan 192.168.0.40
    refused lan "$name" tcp 4
  done
  for name in "${KUBES[@]}" lan; do
    for family in 4 6; do
      refused isolated "$name" tcp "$family"
      refused "$name" isolated tcp "$family"
    done
  done
  forged kube02 kube03 10.17.5.99
  forged kube02 isolated fd00:10:17:4::99 6
  forged lan kube03 10.17.3.99
}

# To be run again after a reboot.
next_boot() {
  echo "$LAB_SUITE: $LAB_PASSED passed, $LAB_FAILED failed"
  exit 75
}

# libvirtd has started what it starts by itself, one after another.
networks_run() { # NAME…
  local name
  for name in "$@"; do
    check "libvirtd has started $name" lab_wait_for 3000 network_runs "$name"
  done
}

network_runs() { # NAME
  on_host virsh --quiet net-list --name | grep -qx -- "$1"
}

# Within a minute, as daemons may still be starting.
comes_to_be_wanted() { # WHAT
  if lab_wait_for 600 is_as_wanted; then
    ok "$1: all is as wanted"
  else
    not_ok "$1: all is as wanted" "$(on_host virt-forward status --check 2>&1; hook_log | tail -n 20)"
  fi
}

status_is_wanted() {
  check "virt-forward status --check" status_says 0
}

# libvirtd puts each bridge into its firewalld zone when the network starts.
zones_are_set() {
  local name
  for name in "${KUBES[@]}"; do
    [[ -n $(on_host firewall-cmd --get-zone-of-interface="${LAB_BRIDGE[$name]}" 2> /dev/null) ]] || return 1
  done
}

# ---- What the system says ------------------------------------------------------------------------------------------

# Since it booted.
nothing_is_denied() {
  equal "AppArmor has denied nothing" "" "$(journalctl --no-pager --boot --grep 'apparmor="DENIED"' --output cat 2>&1 | grep -v '^-- ' || true)"
}

# The same.
nothing_is_wrong() {
  nothing_is_denied
  equal "nothing of ours in journalctl -p warning" "" \
    "$(journalctl --no-pager --boot --priority warning --output short 2>&1 | grep -i -e 'virt.forward' || true)"
  equal "no failed unit" "" "$(on_host systemctl --failed --no-legend --plain)"
}

# doctor finds nothing wrong with what it can see here.
doctor_is_content() {
  local said status=0
  said=$(on_host env COLUMNS=200 virt-forward doctor 2>&1) || status=$?
  if ((status == 0)); then ok "doctor: exit 0"; else not_ok "doctor: exit 0" "exit $status: $said"; fi
}
