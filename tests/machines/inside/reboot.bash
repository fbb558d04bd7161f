# shellcheck shell=bash
# A host that is rebooted with a firewall of its own, and networks that libvirtd starts. To be sourced after lib.bash:
#
#   reboot_with COMMAND       # COMMAND enables the firewall, before the reboot

reboot_with() { # COMMAND
  machine_lan
  if ((BOOT == 1)); then
    start_founding_case
    autostart "${FOUNDING[@]}"
    install_package
    "$1"
    next_boot
  fi
  networks_run "${FOUNDING[@]}"
  comes_to_be_wanted "rebooted"
  guests_of_founding_case
  firewall_runs
  kubes_reach_each_other
  closed_to lan kube03 4
  closed_to kube02 isolated 4
  closed_to isolated kube03 6
  status_is_wanted
  nothing_is_wrong
}
