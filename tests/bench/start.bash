# shellcheck shell=bash
# `virsh net-start` with the hook and without it, in turn, on the same libvirtd.

bench_start() { # SUITE
  local times
  bench_lab "$1" "$BENCH_CONFIG" && start_founding_case > /dev/null
  times=$LAB_DIR/start
  start_networks extra > /dev/null
  echo "$1: virsh net-start (median of $ROUNDS)"
  # libvirtd looks each time whether the hook is there, once it has seen one.
  on_host virt-forward-race "$ROUNDS" > "$times" << RACE
without||virsh -q net-destroy extra; mv -f $LAB_HOOK /tmp/hook; true|virsh -q net-start extra
with||virsh -q net-destroy extra; mv -f /tmp/hook $LAB_HOOK; true|virsh -q net-start extra
RACE
  line "net-start without the hook" "$(median "$times" without)" 1 ""
  line "net-start with the hook" "$(median "$times" with)" \
    "$(ratio "$(median "$times" with)" "$(median "$times" without)")" "at most 1.2"
  echo
}
