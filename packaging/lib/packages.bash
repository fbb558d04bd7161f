# shellcheck shell=bash
# The distribution's packages. To be sourced, after common.bash.
#
# What is missing is told by trying it, not by the names of packages: a compiler of clang's, or a libvirt of one's own,
# is as good.

# apt, dnf or pacman; empty on any other system. Not told by the program: Debian has a game named pacman.
package_manager() {
  local word
  # shellcheck disable=SC1091 # it is the system's
  for word in $(. /etc/os-release 2> /dev/null && echo "${ID:-} ${ID_LIKE:-}"); do
    case $word in
      debian | ubuntu) echo apt && return ;;
      fedora | rhel | centos) echo dnf && return ;;
      arch) echo pacman && return ;;
    esac
  done
}

# Prints what is missing for building, in words of our own.
missing_for_building() {
  compiles || echo compiler
  has pkg-config || has pkgconf || echo pkg-config
  has_libvirt_files || echo libvirt
}

# Prints what is missing for running.
missing_for_running() {
  has nft || echo nft
  # Even where libvirt uses nftables: Docker and ufw do not.
  has iptables || echo iptables
}

# A compiler alone does not do: it needs the C library's files, which Debian has in a package of its own.
compiles() {
  local dir status=0
  has cc || return 1
  dir=$(mktemp -d)
  echo 'int main(void) { return 0; }' | cc -x c - -o "$dir/program" > /dev/null 2>&1 || status=1
  rm -rf -- "$dir"
  return "$status"
}

has_libvirt_files() {
  local program
  for program in pkg-config pkgconf; do
    if has "$program"; then "$program" --exists libvirt && return; fi
  done
  return 1
}

# Prints the packages that bring a thing, for the distribution.
packages_of() { # MANAGER THING
  case $1:$2 in
    apt:compiler) echo gcc libc6-dev ;;
    apt:pkg-config) echo pkg-config ;;
    apt:libvirt) echo libvirt-dev ;;
    apt:libvirt-library) echo libvirt0 ;;
    dnf:compiler) echo gcc ;;
    dnf:pkg-config) echo pkgconf-pkg-config ;;
    dnf:libvirt) echo libvirt-devel ;;
    dnf:libvirt-library) echo libvirt-libs ;;
    # "iptables" is several packages there.
    dnf:iptables) echo iptables-nft ;;
    pacman:compiler) echo gcc ;;
    pacman:pkg-config) echo pkgconf ;;
    pacman:libvirt | pacman:libvirt-library) echo libvirt ;;
    *:nft) echo nftables ;;
    *:iptables) echo iptables ;;
  esac
}

# Installs what brings these things, and these packages beside them.
bring() { # "THING…" [PACKAGE…]
  local manager thing
  local -a things names packages=("${@:2}")
  read -ra things <<< "${1//$'\n'/ }"
  ((${#things[@]} + ${#packages[@]} > 0)) || return 0
  manager=$(package_manager)
  [[ -n $manager ]] ||
    die "missing: ${things[*]}. This is no Debian, Ubuntu, Fedora or Arch: install that with its own means, and run" \
      "this again. Nothing was changed."
  for thing in "${things[@]}"; do
    read -ra names < <(packages_of "$manager" "$thing")
    packages+=("${names[@]}")
  done
  step "installing packages: ${packages[*]}"
  "install_with_$manager" "${packages[@]}" < /dev/null ||
    die "these packages could not be installed: ${packages[*]}. Nothing of virt-forward was changed."
}

install_with_apt() { # PACKAGE…
  # Nothing of the admin's goes for the sake of this (rustup would replace a rustc).
  local -a run=(env DEBIAN_FRONTEND=noninteractive apt-get -qq install --yes --no-install-recommends --no-remove)
  "${run[@]}" "$@" && return
  # The lists may be older than what the servers still have.
  apt-get -qq update || true
  "${run[@]}" "$@"
}

install_with_dnf() { # PACKAGE…
  dnf -q -y install "$@"
}

# Never with -y: one package from newer lists than the rest of the system is what Arch calls a partial upgrade.
install_with_pacman() { # PACKAGE…
  pacman -S --needed --noconfirm "$@" ||
    die "pacman does not have these packages as its lists tell: run 'pacman -Syu' and this again. Nothing of" \
      "virt-forward was changed."
}

# Fedora keeps the static C library apart. Without it the hook is linked to libc.so, and works.
bring_static_libc() {
  [[ $(package_manager) == dnf ]] || return 0
  [[ -f $(cc -print-file-name=libc.a 2> /dev/null) ]] && return
  step "installing package: glibc-static (not needed; with it the hook starts quicker)"
  install_with_dnf glibc-static < /dev/null || step "there is no glibc-static: going on without"
}

# What a package has installed is the package manager's to replace and to remove.
need_no_package() {
  local owner=''
  [[ -e $CLI ]] || return 0
  if has dpkg-query && dpkg-query --search "$CLI" > /dev/null 2>&1; then
    owner="apt purge virt-forward"
  elif has rpm && rpm --query --file "$CLI" > /dev/null 2>&1; then
    owner="dnf remove virt-forward"
  elif has pacman && pacman --query --owns "$CLI" > /dev/null 2>&1; then
    owner="pacman -R virt-forward"
  fi
  [[ -z $owner ]] || die "virt-forward is installed here by a package. Nothing was changed. Without it: $owner"
}
