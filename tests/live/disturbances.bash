# shellcheck shell=bash
# What others do to the rules of a host, on purpose or not. To be sourced.

delete_our_table() {
  on_host nft delete table inet virt_forward
}

flush_our_chain() {
  on_host nft flush chain inet virt_forward forward
}

# Of each set that it is in: one would do for the packets.
delete_an_element() {
  local set
  for set in $(on_host nft list sets inet | sed -n 's/^\tset \(\(subnets\|members_.*\)4_24\) {$/\1/p'); do
    echo "delete element inet virt_forward $set { ${LAB_BRIDGE[kube02]} . 10.17.${LAB_SUBNET[kube02]}.0 }"
  done | on_host nft -f -
}

# One rule with our comment out of the chain that libvirt's rules are in.
delete_a_gate() { # 4|6
  on_host bash -s -- "ip${1#4}" "$LAB_SUITE" << 'EOF'
if [[ $2 == trixie ]]; then
  handle=$(nft -a list chain "$1" libvirt_network forward | sed -n 's/.*"virt-forward".*handle //p')
  nft delete rule "$1" libvirt_network forward handle "$handle"
else
  program=${1}tables
  rule=$("$program" -w -S FORWARD | sed -n '/virt-forward/{s/^-A/-D/p;q}')
  # shellcheck disable=SC2086 # words
  "$program" -w $rule
fi
EOF
}

# A rule of somebody else's comes before ours, and refuses.
outrank_a_gate() {
  if [[ $LAB_SUITE == trixie ]]; then
    on_host nft insert rule ip libvirt_network forward jump guest_input
  else
    on_host iptables -w -I FORWARD -j LIBVIRT_FWI
  fi
}

flush_all() {
  on_host nft flush ruleset
}

flush_iptables() {
  on_host iptables -w -F
}

# As nftables.service does at a restart.
load_a_policy_of_drop() {
  load_nftables_conf << 'NFT'
table inet filter {
  chain forward {
    type filter hook forward priority filter; policy drop;
    iifname "eth0" oifname "virbr_kube02" accept
    iifname "virbr_kube02" oifname "eth0" accept
  }
}
NFT
}

# As an admin who switches the machine's forwarding off: every interface's goes with it.
forward_no_ipv4() {
  on_host sysctl -qw net.ipv4.ip_forward=0
}

forward_no_ipv6() {
  on_host sysctl -qw net.ipv6.conf.all.forwarding=0
}

forward_not_on_one() { # KEY
  on_host sysctl -qw "$1=0"
}

hide_the_hook() {
  on_host mv "$LAB_HOOK" /run/the-hook
}

show_the_hook() {
  on_host mv /run/the-hook "$LAB_HOOK"
}

# Three transactions of 20000 rules each, and another change at last.
storm_of_rules() { # COMMAND…
  on_host bash << 'STORM'
{
  echo 'table ip storm {'
  echo 'chain k {'
  for n in {1..20000}; do echo "ip daddr 10.96.$((n / 250)).$((n % 250)) tcp dport 80 counter accept"; done
  printf '}\n}\n'
} > /run/storm
for _ in 1 2 3; do
  nft -f /run/storm
  nft delete table ip storm
done
STORM
  "$@"
}

# 300 interfaces that come, change forty times and go, and another change at last.
storm_of_links() { # COMMAND…
  on_host bash << 'STORM'
{
  for n in {1..300}; do echo "link add storm$n type bridge"; done
  for _ in {1..20}; do
    for n in {1..300}; do echo "link set storm$n up"; done
    for n in {1..300}; do echo "link set storm$n down"; done
  done
  for n in {1..300}; do echo "link del storm$n"; done
} | ip -batch -
STORM
  "$@"
}
