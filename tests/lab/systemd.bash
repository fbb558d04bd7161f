# shellcheck shell=bash
# A real systemd in a lab, whose libvirtd is its service then. To be sourced, after lib.bash.

readonly LAB_GROUP=virt-forward-lab.$$
# shellcheck disable=SC2034 # for those who source this
readonly SERVICE=virt-forward.service
# The process of systemd, as the lab numbers it.
LAB_SYSTEMD=''

# systemd gets the lab's network and files, a PID namespace below the lab's, where it is the first process, and a
# control group. Of a whole system's units only the journal and libvirtd start: the others would set up a machine.
start_systemd() {
  stop_libvirtd
  on_host bash -c 'rm -rf /{etc,usr/lib}/systemd/system/*.{wants,requires} /usr/lib/systemd/system-generators'
  put_file /etc/systemd/system/lab.target << 'END'
[Unit]
DefaultDependencies=no
Wants=systemd-journald.service systemd-journald.socket systemd-journald-dev-log.socket libvirtd.service
After=systemd-journald.service libvirtd.service
END
  put_file /run/start-systemd << 'END'
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mkdir "/sys/fs/cgroup/$1"
echo $$ > "/sys/fs/cgroup/$1/cgroup.procs"
umount /sys/fs/cgroup
exec unshare --cgroup --mount --pid --fork --kill-child --mount-proc --uts --ipc bash -euc '
  mount -t cgroup2 cgroup2 /sys/fs/cgroup
  # Settings that no namespace holds are the machine'\''s.
  mount --bind /proc/sys /proc/sys
  mount -o remount,bind,ro /proc/sys
  mount --bind /proc/sys/net /proc/sys/net
  mount -o remount,bind,rw /proc/sys/net
  exec env container=lab /usr/lib/systemd/systemd --unit=lab.target
'
END
  trap lab_stop_systemd EXIT
  lab_in_background bash -eu /run/start-systemd "$LAB_GROUP"
  lab_wait_for 250 lab_systemd_is_there || lab_die "systemd does not start"
  # From here on, the lab's host is where systemd is the first process.
  eval "in_lab() $(declare -f on_host | tail -n +2)"
  on_host() { in_lab nsenter --target "$LAB_SYSTEMD" --all -- "$@"; }
  lab_wait_for 500 lab_systemd_is_up || lab_die "systemd does not come up"
  check "libvirtd is a service" on_host systemctl is-active libvirtd.service
}

lab_systemd_is_there() {
  LAB_SYSTEMD=$(on_host pgrep --oldest --exact systemd)
}

lab_systemd_is_up() {
  on_host systemctl --quiet is-active lab.target 2> /dev/null
}

restart_libvirtd() {
  on_host systemctl restart libvirtd.service
}

lab_stop_systemd() {
  lab_stop || true
  # A control group lives on without processes.
  # shellcheck disable=SC2016 # the inner shell expands it
  unshare --mount bash -c 'mount -t cgroup2 cgroup2 /sys/fs/cgroup && find "/sys/fs/cgroup/$1" -type d -delete' \
    bash "$LAB_GROUP" 2> /dev/null || true
}

# ---- Our service, and what it keeps ----------------------------------------------------------------------------------

property() { # NAME
  on_host systemctl show --property="$1" --value "$SERVICE"
}
