# shellcheck shell=bash
# Who builds, and with which Rust. To be sourced, after packages.bash.

# The user who builds, cargo, and the environment that it needs; find_rust sets the last two.
BUILDER=root CARGO='' RUST_ENV=()
# Packages that would bring a Rust, where none is found; plan_rust sets it.
RUST_PACKAGES=()
# What was found and is too old, for the message.
TOO_OLD=''

# The oldest Rust that will do.
wanted_rust() {
  sed -n 's/^rust-version = "\(.*\)"/\1/p' "$REPO/Cargo.toml"
}

# The tree of who called sudo is built as that user: no file of root's gets into it.
choose_builder() {
  local user=${SUDO_USER:-}
  [[ -n $user && $(stat -c %U -- "$REPO") == "$user" ]] || return 0
  BUILDER=$user
}

as_builder() { # COMMAND…
  local -a environment
  environment=(HOME="$(home_of "$BUILDER")" USER="$BUILDER" LOGNAME="$BUILDER" "${RUST_ENV[@]}")
  if [[ $BUILDER == root ]]; then
    env "${environment[@]}" "$@"
  else
    runuser -u "$BUILDER" -- env "${environment[@]}" "$@"
  fi
}

# Prints every cargo there may be, the best first.
cargo_candidates() {
  command -v cargo || true
  [[ -z ${SUDO_USER:-} ]] || echo "$(home_of "$SUDO_USER")/.cargo/bin/cargo"
  echo "$(home_of root)/.cargo/bin/cargo"
  # Ubuntu has newer ones under such names.
  find /usr/bin -name 'cargo-1.*' 2> /dev/null | sort --version-sort --reverse
}

# Finds a cargo that the builder can run, with a rustc, both new enough.
find_rust() {
  local candidate
  while read -r candidate; do
    if try_rust "$candidate"; then
      CARGO=$candidate
      return
    fi
  done < <(cargo_candidates)
  RUST_ENV=()
  return 1
}

try_rust() { # CARGO
  local wanted version program rustc=rustc
  RUST_ENV=(PATH="$(dirname -- "$1"):$PATH")
  if [[ $(basename -- "$1") == cargo-* ]]; then
    rustc=${1/%cargo-*/rustc-${1##*cargo-}}
    RUST_ENV+=(RUSTC="$rustc")
  fi
  rustup_home_for "$1"
  wanted=$(wanted_rust)
  for program in "$1" "$rustc"; do
    # In the tree, where rustup looks for the toolchain that is meant.
    version=$(cd -- "$REPO" && as_builder "$program" --version 2> /dev/null | cut -d' ' -f2) || return 1
    [[ -n $version ]] || return 1
    is_at_least "$version" "$wanted" && continue
    TOO_OLD="$1 is $version"
    return 1
  done
}

# rustup's cargo looks for its toolchains in the home of who runs it, and that may be another's.
rustup_home_for() { # CARGO
  local home=${1%/.cargo/bin/cargo}
  [[ -z ${RUSTUP_HOME:-} && $home != "$1" && -d $home/.rustup ]] || return 0
  RUST_ENV+=(RUSTUP_HOME="$home/.rustup")
}

is_at_least() { # VERSION WANTED
  [[ $(printf '%s\n' "$2" "$1" | sort --version-sort | head -n 1) == "$2" ]]
}

# Looks for packages of a Rust that is new enough; installs nothing.
plan_rust() {
  local manager
  manager=$(package_manager)
  [[ -n $manager ]] || return 1
  "plan_rust_$manager"
}

plan_rust_apt() {
  local name
  # A new system has no lists at all.
  [[ -n $(apt_candidate gcc) ]] || apt-get -qq update || true
  if apt_has rustc; then
    RUST_PACKAGES=(rustc cargo)
    return
  fi
  for name in $(apt-cache search --names-only '^rustc-1\.[0-9]+$' | cut -d' ' -f1 | sort --version-sort --reverse); do
    if apt_has "$name"; then
      RUST_PACKAGES=("$name" "cargo-${name#rustc-}")
      return
    fi
  done
  # Who has a rustup already decides by himself which toolchains it holds.
  [[ -n $(apt_candidate rustup) && ! -e $(home_of "$BUILDER")/.rustup ]] || return 1
  RUST_PACKAGES=(rustup)
}

apt_candidate() { # PACKAGE
  apt-cache policy "$1" 2> /dev/null | sed -n -e 's/^ *Candidate: //p' | grep -v '^(none)$' || true
}

apt_has() { # PACKAGE
  local version
  version=$(apt_candidate "$1")
  [[ -n $version ]] && is_at_least "$(upstream "$version")" "$(wanted_rust)"
}

plan_rust_dnf() {
  local version
  version=$(dnf -q repoquery --latest-limit=1 --qf '%{version}\n' rust 2> /dev/null | head -n 1)
  plan_rust_packages "$version" rust cargo
}

plan_rust_pacman() {
  local version
  version=$(pacman -Si rust 2> /dev/null | sed -n 's/^Version *: //p' | head -n 1)
  plan_rust_packages "$version" rust
}

plan_rust_packages() { # VERSION PACKAGE…
  [[ -n $1 ]] && is_at_least "$(upstream "$1")" "$(wanted_rust)" || return 1
  RUST_PACKAGES=("${@:2}")
}

# A package's version without what the distribution adds.
upstream() { # VERSION
  local version=${1#*:}
  echo "${version%%[+~-]*}"
}

no_rust() {
  local user=$BUILDER
  die "building needs Rust $(wanted_rust) or newer, and there is none that $user can run${TOO_OLD:+ ($TOO_OLD)}; nor" \
    "does this distribution have a package of it. Nothing was changed. Install rustup as $user, in the way Rust's own" \
    "website tells (who has it: rustup update stable), and run this again."
}

# Makes the packages of the plan usable: rustup alone is no Rust yet.
finish_rust() {
  ((${#RUST_PACKAGES[@]} > 0)) || return 0
  if [[ ${RUST_PACKAGES[0]} == rustup ]]; then
    step "installing Rust with rustup, for $BUILDER"
    as_builder rustup toolchain install stable --profile minimal < /dev/null ||
      die "rustup could not install Rust. Nothing of virt-forward was changed."
    export RUSTUP_TOOLCHAIN=stable
  fi
  find_rust || no_rust
}

build() {
  step "building, as $BUILDER"
  # Said in so many words: a config of the user's may name another folder.
  (cd -- "$REPO" && as_builder env CARGO_TARGET_DIR="$TARGET" \
    "$CARGO" build --release --locked -p virt-forward -p virt-forward-hook -p virt-forward-watch < /dev/null) ||
    die "it does not build. Nothing of virt-forward was changed."
}
