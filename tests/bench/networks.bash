# shellcheck shell=bash
# Networks that are only there to be many: bridges, the XML libvirt would hand to the hook, and the rules it would make.

# The network number N is bench_N on bnN with 10.128.0.0/9 cut into /24s.
bench_subnet() { # N
  echo "10.$((128 + $1 / 256)).$(($1 % 256))"
}

# Bridges FIRST to LAST, and their XML in /tmp/bench_N.xml.
bench_bridges() { # FIRST LAST
  # A program for each of thousands would take longer than what is measured.
  seq "$1" "$2" | awk -v dir="$(lab_path /tmp)" '{
    subnet = "10." 128 + int($1 / 256) "." $1 % 256
    print "link add bn" $1 " type bridge"
    print "addr add " subnet ".1/24 dev bn" $1
    print "link set bn" $1 " up group 7"
    file = dir "/bench_" $1 ".xml"
    print "<hookData><network><name>bench_" $1 "</name><forward mode=\047nat\047/><bridge name=\047bn" $1 "\047/>" \
      "<ip address=\047" subnet ".1\047 prefix=\04724\047/></network></hookData>" > file
    close(file)
  }' > "$(lab_path /tmp/bridges)"
  on_host ip -batch /tmp/bridges
}

# Opens bench_FIRST to bench_LAST as libvirt's calls would, and leaves a status file of each as libvirt does.
bench_open() { # FIRST LAST
  # shellcheck disable=SC2016 # the inner shell expands it
  on_host bash -c 'mkdir -p /run/libvirt/network
  for ((n = $1; n <= $2; n++)); do
    "$3" "bench_$n" started begin - < "/tmp/bench_$n.xml" 2> /dev/null
    ln -s -f "/tmp/bench_$n.xml" /run/libvirt/network
  done' bash "$1" "$2" "$LAB_HOOK"
}

# What libvirt's iptables driver inserts for networks 1 to COUNT of mode nat (its filter and nat rules), for
# iptables-restore --noflush.
bench_iptables_rules() { # COUNT
  local n net
  echo '*filter'
  for ((n = 1; n <= $1; n++)); do
    net=$(bench_subnet "$n").0/24
    echo "-I LIBVIRT_FWX -i bn$n -o bn$n -j ACCEPT"
    echo "-I LIBVIRT_FWI -o bn$n -j REJECT"
    echo "-I LIBVIRT_FWO -i bn$n -j REJECT"
    echo "-I LIBVIRT_FWO -s $net -i bn$n -j ACCEPT"
    echo "-I LIBVIRT_FWI -d $net -o bn$n -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT"
  done
  echo 'COMMIT'
  echo '*nat'
  for ((n = 1; n <= $1; n++)); do
    net=$(bench_subnet "$n").0/24
    echo "-I LIBVIRT_PRT -s $net ! -d $net -j MASQUERADE"
    echo "-I LIBVIRT_PRT -s $net ! -d $net -p udp -j MASQUERADE --to-ports 1024-65535"
    echo "-I LIBVIRT_PRT -s $net ! -d $net -p tcp -j MASQUERADE --to-ports 1024-65535"
    echo "-I LIBVIRT_PRT -s $net -d 255.255.255.255/32 -j RETURN"
    echo "-I LIBVIRT_PRT -s $net -d 224.0.0.0/24 -j RETURN"
  done
  echo 'COMMIT'
}

# The same of its nftables driver, for nft -f. Rules by interface index, as libvirt makes them: any index will do that
# no guest's bridge has.
bench_nft_rules() { # COUNT
  local n net rule='insert rule ip libvirt_network'
  for ((n = 1; n <= $1; n++)); do
    net=$(bench_subnet "$n").0/24
    echo "$rule guest_cross iif $((n + 100000)) oif $((n + 100000)) counter accept"
    echo "$rule guest_input oif $((n + 100000)) counter reject"
    echo "$rule guest_output iif $((n + 100000)) counter reject"
    echo "$rule guest_output ip saddr $net iif $((n + 100000)) counter accept"
    echo "$rule guest_input oif $((n + 100000)) ip daddr $net ct state related,established counter accept"
    echo "$rule guest_nat ip saddr $net ip daddr != $net counter masquerade"
    echo "$rule guest_nat meta l4proto udp ip saddr $net ip daddr != $net counter masquerade to :1024-65535"
    echo "$rule guest_nat meta l4proto tcp ip saddr $net ip daddr != $net counter masquerade to :1024-65535"
    echo "$rule guest_nat ip saddr $net ip daddr 255.255.255.255 counter return"
    echo "$rule guest_nat ip saddr $net ip daddr 224.0.0.0/24 counter return"
  done
}
