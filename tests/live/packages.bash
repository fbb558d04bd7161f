# shellcheck shell=bash
# What tests of packages share: a host under a real systemd, what is left on it, and networks that start and stop all the
# while. To be sourced, after claims.bash.

# shellcheck source=../lab/systemd.bash
source "$(dirname -- "${BASH_SOURCE[0]}")/../lab/systemd.bash"

# shellcheck disable=SC2034 # for those who source this
readonly CONFIG=/etc/virt-forward/config.toml
readonly HOOKS=/etc/libvirt/hooks PROGRAM=/usr/lib/virt-forward/virt-forward-hook
# shellcheck disable=SC2016,SC2034 # as it stands, for those who source this
readonly ADMINS_HOOK='#!/bin/sh
# An admin'\''s own.
echo "$1 $2" >> /run/admins-hook.log'

# The same programs, which say that they are newer.
say_they_are_newer() { # PROGRAM…
  perl -pi -e 's/(?<![\d._])0\.1\.0(?![\d.])/0.1.1/g' "$@"
}

# The founding case, and networks that start and stop in the cases of tests.
start_host() {
  # Services are to start here.
  on_host rm -f /usr/sbin/policy-rc.d
  start_systemd
  start_founding_case
  start_networks extra open
  stop_networks extra open
}

# A command's end and words, from STATUS and SAID.
ended() { # WHAT STATUS
  if [[ $STATUS == "$2" ]]; then ok "$1: exit $2"; else not_ok "$1: exit $2" "exit $STATUS: $SAID"; fi
}

says() { # WHAT TEXT
  if grep -q -F -- "$2" <<< "$SAID"; then ok "$1"; else not_ok "$1" "$SAID"; fi
}

# ---- What there is -------------------------------------------------------------------------------------------------

# Every file of a folder, with its owner, mode and sum.
files_in() { # FOLDER
  on_host find "$1" -printf '%p %u:%g %m %l ' \( -type f -exec sha256sum {} \; -o -printf '\n' \) | sort
}

# libvirt's daemon, when it restarts, loads the rules of its networks in an order of its own.
state_in_any_order() {
  lab_state | sort
}

# libvirt's daemon answers before all of its rules are loaded again.
remember() {
  lab_rules_at_rest
  state_in_any_order > "$LAB_DIR/remembered.state"
  files_in /etc > "$LAB_DIR/remembered.etc"
}

# libvirt's daemon, when it restarts, takes its rules away and loads them again one by one, also after it has answered, and
# all that they refuse passes meanwhile, with or without virt-forward: no packet says anything before they are back.
libvirts_rules_come_back() {
  check "all rules of libvirt's are there again" lab_wait_for 100 no_rule_is_missing
}

no_rule_is_missing() {
  [[ -z $(diff "$LAB_DIR/remembered.state" <(state_in_any_order) | grep '^<' || true) ]]
}

rules_as_remembered() { # WHAT
  equal "$1: rules and settings are as before" "" "$(diff "$LAB_DIR/remembered.state" <(state_in_any_order) || true)"
}

# But for what is left is to be.
etc_as_remembered() { # WHAT [LEFT]
  equal "$1: /etc is as before${2:+, but for $2}" "${2:-}" \
    "$(diff "$LAB_DIR/remembered.etc" <(files_in /etc) | sed -n 's/^\([<>]\) \([^ ]*\) .*/\2/p' || true)"
}

hooks_as_remembered() { # WHAT
  equal "$1: hooks/ is as before" "$(grep "^$HOOKS" "$LAB_DIR/remembered.etc" || true)" \
    "$(files_in /etc/libvirt | grep "^$HOOKS" || true)"
}

nothing_runs() { # WHAT
  equal "$1: nothing of it runs" "" "$(on_host ps -e -o comm= | grep -x -e virt-forward -e virt-forward-wa -e virt-forward-ho || true)"
  check "$1: /run/virt-forward is gone" on_host test ! -e /run/virt-forward
  equal "$1: systemd knows no such service" "not-found inactive" "$(property LoadState) $(property ActiveState)"
}

libvirtds_process() {
  on_host systemctl show --property=MainPID --value libvirtd.service
}

in_place() { # HOOK
  equal "$1 is there" "regular file root:root 755" "$(on_host stat -c '%F %U:%G %a' "$1" 2>&1)"
  check "$1 is the package's" on_host cmp "$1" "$PROGRAM"
  lab_wait_for 100 is_as_wanted || true
  check "all is as wanted" on_host virt-forward status --check
  equal "the service runs, and is enabled" "active running enabled" \
    "$(property ActiveState) $(property SubState) $(property UnitFileState)"
}

# ---- Networks that start and stop ------------------------------------------------------------------------------------

# Networks start and stop all the while, and no longer than the lab is there. What fails is written down.
load_begins() {
  touch "$LAB_DIR/going"
  : > "$LAB_DIR/load"
  load &
  LOAD=$!
}

load() {
  local name verb
  while [[ -e $LAB_DIR/going ]]; do
    for name in extra open; do
      for verb in net-start net-destroy; do
        if on_host virsh --quiet "$verb" "$name" > "$LAB_DIR/virsh.log" 2>&1; then
          echo "ok $verb" >> "$LAB_DIR/load"
        else
          echo "FAILED $verb $name: $(< "$LAB_DIR/virsh.log")" >> "$LAB_DIR/load"
        fi
      done
    done
  done
}

load_ends() { # WHAT
  rm -f -- "$LAB_DIR/going"
  wait "$LOAD" || true
  equal "$1: no network failed to start or stop" "" "$(grep -v '^ok ' "$LAB_DIR/load" | sort | uniq -c || true)"
  check "$1: $(grep -c '^ok net-start' "$LAB_DIR/load") networks were started meanwhile" \
    test "$(grep -c '^ok net-start' "$LAB_DIR/load")" -ge 5
}
