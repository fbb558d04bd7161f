# shellcheck shell=bash
# A second KVM host in a lab, with a libvirtd, a kernel's view of the network and settings of its own. To be sourced after
# lib.bash:
#
#   install_virt_forward CONFIG
#   second_host_start CONFIG               # with the hook of the first host, and its own config
#   on_second_host virsh net-start kube12
#   second_guest_add kube12
#   reaches kube12 kube03 tcp 4
#
# Further places are: second (that host, 192.168.0.41), kube12 (a guest in its routed network) and kube13 (in its NAT
# network). It ends with the lab.

LAB_SECOND_PID=''
# What the two would otherwise share; all the rest of the root nobody writes to, or like /dev/log to both.
readonly LAB_SECOND_OWN=(/etc/libvirt /etc/virt-forward /etc/frr /etc/bird /var/lib/libvirt)

LAB_SUBNET+=([kube12]=3 [kube13]=4)
LAB_BRIDGE+=([kube12]=virbr_kube12 [kube13]=virbr_kube13)
LAB_ADDRESS+=(
  [second/4]=192.168.0.41 [second/6]=fd00:0:0:1::41
  [kube12/4]=10.18.3.21 [kube12/6]=fd00:10:18:3::21
  [kube13/4]=10.18.4.21 [kube13/6]=fd00:10:18:4::21
)

# Starts it, with libvirtd running, its networks defined and none of them started.
second_host_start() { # [CONFIG]
  second_host_plug_in
  # The network namespace has a name, so that it is a place like others.
  # shellcheck disable=SC2016 # the inner shell expands it
  lab_in_background bash -c '
    echo $$ > /run/second-host.pid
    exec nsenter --net=/run/netns/second unshare --mount --pid --fork --kill-child --mount-proc bash -c "$@"
  ' bash "$(second_host_init)" bash "${LAB_SECOND_OWN[@]}"
  lab_wait_for 500 second_host_is_ready || lab_die "the second host did not start"
  (($# == 0)) || on_second_host tee /etc/virt-forward/config.toml <<< "$1" > /dev/null
  on_second_host libvirtd --daemon < /dev/null
  second_network_xml kube12 route | on_second_host virsh --quiet net-define /dev/stdin > /dev/null
  second_network_xml kube13 nat | on_second_host virsh --quiet net-define /dev/stdin > /dev/null
}

# With the sysctls that tests/lab/lan gives the first.
second_host_plug_in() {
  on_host bash -s << 'EOF'
set -euo pipefail
ip netns add second
ip netns exec second sysctl -q -w net.ipv4.ip_forward=0 net.ipv6.conf.all.forwarding=0 \
  net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0 \
  net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0 \
  net.ipv4.icmp_ratelimit=0 net.ipv6.icmp.ratelimit=0
ip -n second link set lo up
ip -n second link add eth0 type veth peer name port-second netns router
ip -n router link set port-second master lan0 up
ip -n second link set eth0 up
ip -n second addr add 192.168.0.41/24 dev eth0
ip -n second addr add fd00:0:0:1::41/64 dev eth0 nodad
ip -n second route add default via 192.168.0.1
ip -n second -6 route add default via fd00:0:0:1::1
EOF
}

# What its first process runs, on the folders it shall have for itself.
second_host_init() {
  cat << 'EOF'
set -euo pipefail
# A new one: it shows the network devices of the namespace it is mounted from.
mount -t sysfs sysfs /sys
for dir in "$@"; do
  mkdir -p "$dir"
  mount -t tmpfs tmpfs /mnt
  cp --archive "$dir/." /mnt
  mount --move /mnt "$dir"
done
# The first host's networks.
rm -rf /etc/libvirt/qemu/networks/* /var/lib/libvirt/dnsmasq/*
mount -t tmpfs tmpfs /run
mkfifo /run/never
: > /run/second-host-ready
# Not exec: the first process of a PID namespace must reap the orphans.
while :; do read -r _ <> /run/never; done
EOF
}

second_host_is_ready() {
  local unshare child
  unshare=$(cat "$(lab_path /run/second-host.pid)" 2> /dev/null) || return 1
  child=$(cat "$(lab_path "/proc/$unshare/task/$unshare/children")" 2> /dev/null) || return 1
  child=${child%% *}
  [[ -n $child && -e $(lab_path "/proc/$child/root/run/second-host-ready") ]] || return 1
  LAB_SECOND_PID=$child
}

# A routed network has another one behind its guest, to which libvirt sets a route.
second_network_xml() { # NAME route|nat
  local name=$1 mode=$2 number=${LAB_SUBNET[$1]}
  cat << EOF
<network>
  <name>$name</name>
  <forward mode='$mode'/>
  <bridge name='${LAB_BRIDGE[$name]}' stp='off' delay='0'/>
  <ip address='10.18.$number.1' netmask='255.255.255.0'/>
  <ip family='ipv6' address='fd00:10:18:$number::1' prefix='64'/>
EOF
  [[ $mode != route ]] || cat << EOF
  <route address='10.18.${number}0.0' prefix='24' gateway='10.18.$number.21'/>
  <route family='ipv6' address='fd00:10:18:${number}0::' prefix='64' gateway='fd00:10:18:$number::21'/>
EOF
  echo '</network>'
}

# Runs a command on it.
on_second_host() { # COMMAND…
  on_host nsenter --target "$LAB_SECOND_PID" --mount --net --pid -- "$@"
}

# Puts a guest into a running network of it.
second_guest_add() { # NETWORK
  on_host bash -s -- "$1" "${LAB_BRIDGE[$1]}" "${LAB_SUBNET[$1]}" << 'EOF'
set -euo pipefail
name=$1 bridge=$2 number=$3
ip netns add "$name"
ip -n "$name" link set lo up
ip netns exec "$name" sysctl -q -w net.ipv6.conf.all.accept_ra=0 net.ipv6.conf.default.accept_ra=0 \
  net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0 net.ipv4.ip_forward=0 \
  net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0
ip -n "$name" link add eth0 type veth peer name "tap$number" netns second
ip -n second link set "tap$number" master "$bridge" up
ip -n "$name" link set eth0 up
ip -n "$name" addr add "10.18.$number.21/24" dev eth0
ip -n "$name" addr add "fd00:10:18:$number::21/64" dev eth0 nodad
ip -n "$name" route add default via "10.18.$number.1"
ip -n "$name" -6 route add default via "fd00:10:18:$number::1"
EOF
  lab_serve "$1"
}
