# shellcheck shell=bash
# What the tests in this folder claim about the founding case, with or without virt-forward. To be sourced.

# shellcheck source=../lab/lib.bash
source "$(dirname -- "${BASH_SOURCE[0]}")/../lab/lib.bash"

readonly PROTOCOLS=(icmp tcp udp)
readonly KUBES=(kube02 kube03 kube05)

# Calls COMMAND FROM TO PROTOCOL FAMILY for each protocol.
each_protocol() { # COMMAND FROM TO FAMILY
  local protocol
  for protocol in "${PROTOCOLS[@]}"; do "$1" "$2" "$3" "$protocol" "$4"; done
}

# FROM reaches TO by every protocol, and TO sees FROM's own address.
open_to() { # FROM TO FAMILY
  reaches "$1" "$2" icmp "$3"
  own_address_seen "$1" "$2" "$3"
}

# FROM reaches TO by every protocol, and TO sees that address instead.
masked_to() { # FROM TO ADDRESS
  reaches "$1" "$2" icmp 4
  source_seen "$1" "$2" "$3" 4
}

closed_to() { # FROM TO FAMILY
  each_protocol refused "$1" "$2" "$3"
}

# Every NETWORK is open to every other, over that family.
all_open() { # FAMILY NETWORK…
  local family=$1 from to
  shift
  for from in "$@"; do
    for to in "$@"; do
      [[ $from == "$to" ]] || open_to "$from" "$to" "$family"
    done
  done
}

kubes_reach_each_other() {
  all_open 4 "${KUBES[@]}"
  all_open 6 "${KUBES[@]}"
}

# What libvirt alone says about the LAN and the world beyond, and what stays so.
outside_is_as_ever() {
  local name
  for name in kube03 kube05; do
    masked_to "$name" lan 192.168.0.40
    masked_to "$name" internet 192.168.0.40
    closed_to lan "$name" 4
  done
  # kube02 is routed: the LAN machine has a route back, and the router, with the Internet behind it, has none.
  open_to kube02 lan 4
  closed_to kube02 internet 4
  open_to lan kube02 4
  # libvirt routes a NAT network's IPv6 unless told otherwise, so it is open from and to everywhere.
  for name in "${KUBES[@]}"; do
    open_to "$name" lan 6
    open_to lan "$name" 6
  done
}

isolated_stays_isolated() {
  local name family
  for name in "${KUBES[@]}" lan; do
    for family in 4 6; do
      closed_to isolated "$name" "$family"
      closed_to "$name" isolated "$family"
    done
  done
  closed_to isolated internet 4
}

# Only where libvirt alone lets nothing through: into a routed network (a NAT network's IPv6 among them) it lets every
# source address pass.
forged_gets_nowhere() {
  local from
  for from in kube02 kube05; do
    forged "$from" kube03 203.0.113.7
    forged "$from" kube03 10.17.9.99
    forged "$from" isolated 10.17.4.99
  done
  forged kube02 kube03 10.17.5.99
  forged kube05 kube03 10.17.3.99
  forged kube02 isolated fd00:10:17:4::99 6
  # A machine outside that claims to be a guest.
  forged lan kube03 10.17.3.99
  forged lan kube05 10.17.4.99
}

founding_case_holds() {
  kubes_reach_each_other
  outside_is_as_ever
  isolated_stays_isolated
  forged_gets_nowhere
}

is_as_wanted() {
  on_host virt-forward status --check > /dev/null 2>&1
}

status_says() { # EXIT-CODE
  local status=0
  on_host virt-forward status --check || status=$?
  ((status == $1))
}

# A bridge that is made anew has no ports.
replug() { # NETWORK
  on_host ip link set "tap${LAB_SUBNET[$1]}" master "${LAB_BRIDGE[$1]}" up
}

# The machine around the lab, as far as a leak could show there.
machine_state() {
  sysctl net.ipv4.ip_forward net.ipv6.conf.all.forwarding
  nft list tables 2> /dev/null
  # Not an error where it does not exist.
  find /run/virt-forward /etc/virt-forward /etc/libvirt/hooks -newermt "@$1" 2> /dev/null
  true
}

# Our table as sorted lines, one set element a line: what it holds, without the order it came in.
table_elements() {
  on_host nft -s list table inet virt_forward 2>&1 | tr ',{}' '\n' | sed 's/^[[:space:]]*//; s/[[:space:]]*$//' |
    grep -v '^$' | sort
}
