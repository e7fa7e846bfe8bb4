# Sourced: fetches, from Debian's package archive and without touching this system's packages, what builds and
# runs aarch64 programs here, into .arm64/ (450 MB): a C compiler to link with, the arm64 C and C++
# libraries, the source of Rust's standard library, and an emulator. Needs apt-get and dpkg (Debian,
# Ubuntu), not root. Sets arm64_cc, arm64_strip, arm64_rust_src, arm64_root and arm64_qemu.
arm64=$PWD/.arm64
arm64_tools() {
  local apt=$arm64/apt options key=/usr/share/keyrings/debian-archive-keyring.gpg rust mirror
  [ ! -e "$arm64/ready" ] || return 0
  command -v apt-get >/dev/null && [ -e $key ] || { echo "arm64-tools: error: wanted apt-get and Debian's keyring" >&2; return 3; }
  # The mirror that this system uses.
  mirror=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null | grep -oE 'https?://[^ ]+/debian/?( |$)' | head -1 || true)
  [ -n "$mirror" ] || { echo "arm64-tools: error: no Debian mirror in /etc/apt" >&2; return 3; }
  rust=$(rustc --version | cut -d' ' -f2)
  rm -rf "$arm64"
  mkdir -p "$apt"/lists/partial "$apt"/cache/archives/partial "$arm64"/{debs,tools,root}
  touch "$apt/status"
  for line in "amd64,arm64 bookworm" "amd64 bookworm-backports" "amd64 trixie-backports"; do
    echo "deb [arch=${line% *} signed-by=$key] $mirror ${line#* } main"
  done > "$apt/sources.list"
  options=(-qq -o Dir::Etc::sourcelist="$apt/sources.list" -o Dir::Etc::sourceparts=- -o Dir::State="$apt"
    -o Dir::State::status="$apt/status" -o Dir::Cache="$apt/cache" -o APT::Architectures::=amd64
    -o APT::Architectures::=arm64 -o APT::Sandbox::User=root)
  apt-get "${options[@]}" update
  rust=$(apt-cache "${options[@]}" madison rust-src | awk -v v="$rust" '$3 ~ "^" v { print $3; exit }')
  [ -n "$rust" ] || { echo "arm64-tools: error: Debian has no rust-src of this Rust ($(rustc --version))" >&2; return 3; }
  # qemu 7.2 (bookworm's own) crashes on ONNX Runtime.
  (cd "$arm64/debs" && apt-get "${options[@]}" download "rust-src=$rust" qemu-user/bookworm-backports \
    {gcc-12,cpp-12,binutils}-aarch64-linux-gnu {libgcc-12-dev,libc6-dev,libc6,linux-libc-dev,libgcc-s1}-arm64-cross \
    libc6:arm64 libgcc-s1:arm64 libstdc++6:arm64)
  for deb in "$arm64"/debs/*.deb; do
    case $deb in
      *-cross_* | *_amd64.deb | *rust-src_*) dpkg -x "$deb" "$arm64/tools" ;;
      *) dpkg -x "$deb" "$arm64/root" ;;
    esac
  done
  rm -rf "$arm64/debs" "$apt"
  # The compiler finds assembler, linker and start files under its own prefix; the libraries' linker
  # scripts name absolute paths, which --sysroot moves; assembler and linker have libraries of their own.
  printf '#!/bin/sh\nLD_LIBRARY_PATH=%q exec %q --sysroot=%q -B%q "$@"\n' "$arm64/tools/usr/lib/$(uname -m)-linux-gnu" \
    "$arm64/tools/usr/bin/aarch64-linux-gnu-gcc-12" "$arm64/tools" "$arm64/tools/usr/aarch64-linux-gnu/lib" > "$arm64/cc"
  printf '#!/bin/sh\nLD_LIBRARY_PATH=%q exec %q "$@"\n' "$arm64/tools/usr/lib/$(uname -m)-linux-gnu" \
    "$arm64/tools/usr/bin/aarch64-linux-gnu-strip" > "$arm64/strip"
  chmod +x "$arm64/cc" "$arm64/strip"
  touch "$arm64/ready"
}
arm64_tools
arm64_cc=$arm64/cc
arm64_strip=$arm64/strip
arm64_rust_src=$(echo "$arm64"/tools/usr/src/rustc-*/library)
arm64_root=$arm64/root
arm64_qemu=$arm64/tools/usr/bin/qemu-aarch64
