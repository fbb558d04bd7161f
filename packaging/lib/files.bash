# shellcheck shell=bash
# Every file that is installed, and where. To be sourced, after common.bash, by packaging/install and packaging/uninstall,
# and by packaging/stage, by which all packages get theirs.

# Where distributions differ. Where /usr/sbin is a link to /usr/bin (Fedora since 42, Arch), a package must name the latter;
# Debian's zsh looks where packages put things in a folder of its own.
: "${SBINDIR:=/usr/sbin}"
if [[ -z ${ZSH_COMPLETIONS:-} ]]; then
  ZSH_COMPLETIONS=$SHARE/zsh/site-functions
  [[ ! -e /etc/debian_version ]] || ZSH_COMPLETIONS=$SHARE/zsh/vendor-completions
fi

# Prints "MODE TARGET SOURCE", a line each; a source may have spaces. The hook in /etc/libvirt/hooks is not among them: it
# is put there, and taken away, by `virt-forward hook`, as it may have to stand beside another.
files_of() { # KIND
  "files_of_$1"
}

files_of_programs() {
  echo "0755 $SBINDIR/virt-forward $BUILT/virt-forward"
  echo "0755 $LIBRARY/virt-forward-hook $BUILT/virt-forward-hook"
  echo "0755 $LIBRARY/virt-forward-watch $BUILT/virt-forward-watch"
}

# What packages' own scripts do; packaging/install does the same in its own way.
files_of_script() {
  echo "0755 $LIBRARY/package $REPO/packaging/package"
}

files_of_service() {
  echo "0644 $UNITS/$SERVICE $REPO/packaging/systemd/$SERVICE"
}

files_of_policy() {
  echo "0644 $POLICY $REPO/packaging/firewalld/virt-forward.xml"
}

files_of_config() {
  echo "0644 $CONFIG $REPO/packaging/config.toml"
}

files_of_manual() {
  local page
  for page in "$REPO"/packaging/man/*.[58]; do
    echo "0644 $SHARE/man/man${page##*.}/$(basename -- "$page") $page"
  done
}

files_of_completions() {
  local from=$REPO/packaging/completions
  echo "0644 $SHARE/bash-completion/completions/virt-forward $from/virt-forward.bash"
  echo "0644 $ZSH_COMPLETIONS/_virt-forward $from/_virt-forward"
  echo "0644 $SHARE/fish/vendor_completions.d/virt-forward.fish $from/virt-forward.fish"
}

# Licences go with the programs wherever they go: those of the crates in them ask for it.
files_of_notices() {
  local file
  for file in LICENSE-MIT LICENSE-APACHE packaging/THIRD-PARTY.md; do
    echo "0644 $SHARE/doc/virt-forward/$(basename -- "$file") $REPO/$file"
  done
}

files_of_documents() {
  local file
  for file in "$REPO"/README*.md "$REPO/CHANGELOG.md"; do
    echo "0644 $SHARE/doc/virt-forward/$(basename -- "$file") $file"
  done
  for file in "$REPO"/docs/*.{md,nft,svg} "$REPO"/examples/*.toml; do
    echo "0644 $SHARE/doc/virt-forward/${file#"$REPO/"} $file"
  done
}
