# shellcheck shell=bash
# What the builders of packages share. To be sourced, after common.bash.

# shellcheck disable=SC2034 # for those who source this
PACKAGES=$TARGET/packages
# shellcheck disable=SC2034
VERSION=$(sed -n 's/^version = "\(.*\)"/\1/p' "$REPO/Cargo.toml" | head -n 1)
readonly PACKAGES VERSION

# Everything that is built twice from the same commit is the same: no file is newer than the commit, in tarballs and
# packages.
if [[ -z ${SOURCE_DATE_EPOCH:-} ]]; then
  SOURCE_DATE_EPOCH=$(git -C "$REPO" log -1 --format=%ct 2> /dev/null || stat -c %Y "$REPO/Cargo.toml")
fi
export SOURCE_DATE_EPOCH

# Prints the names of the files that are the source, each ended by a zero. A tarball's tree has no git.
source_files() {
  if git -C "$REPO" rev-parse --show-cdup 2> /dev/null | grep -qx ''; then
    git -C "$REPO" ls-files -z
  else
    (cd -- "$REPO" && find . -path ./target -prune -o -path ./vendor -prune -o \( -type f -o -type l \) -printf '%P\0')
  fi
}

# Copies the source to a new folder.
copy_source() { # DIR
  mkdir -p -- "$1"
  # A file that was deleted and not committed is not there to be copied.
  (cd -- "$REPO" && source_files | tar --null --files-from=- --ignore-failed-read -c 2> /dev/null) | tar -x -C "$1"
}

# Makes a tarball of a folder whose bytes depend on what is in it alone.
pack() { # ARCHIVE.tar.xz|.tar.gz PARENT FOLDER
  local compress
  case $1 in
    *.xz) compress='xz -T0 --block-size=64MiB' ;;
    *.gz) compress='gzip -9 --no-name' ;;
  esac
  tar --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX \
    --format=gnu --use-compress-program="$compress" -cf "$1.new" -C "$2" -- "$3"
  mv -T -- "$1.new" "$1"
}

# Makes SCRATCH, a folder that goes with this program.
make_scratch() {
  SCRATCH=$(mktemp -d)
  trap 'rm -rf -- "$SCRATCH"' EXIT
}

# Puts what was made where packages are, and tells where that is; what is not there is not told.
deliver() { # FILE…
  local file
  for file in "$@"; do
    [[ -e $file ]] || continue
    mv -f -- "$file" "$PACKAGES/"
    say "$PACKAGES/$(basename -- "$file")"
  done
}

need_programs() { # PACKAGES-TO-INSTALL PROGRAM…
  local program
  for program in "${@:2}"; do
    has "$program" || die "$program is missing: install $1, and run this again."
  done
}

# What `cargo build --release` has made, for packages of --no-build.
need_built() {
  local program
  for program in virt-forward virt-forward-hook virt-forward-watch; do
    [[ -x $BUILT/$program ]] ||
      die "nothing is built in $BUILT: run 'cargo build --release' before, or this without --no-build. If that builds" \
        "elsewhere, set CARGO_TARGET_DIR."
  done
}
