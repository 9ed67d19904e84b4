#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Gets one of Debian's own kernels for the lab's QEMU machines, and an initrd for it; packaging/deps.sh kernels has what this needs.
#   kernel.sh VERSION   6.1, 6.12, ...: prints the directory that has vmlinuz, initrd and lib/modules/RELEASE
#   kernel.sh --cached VERSION   the same without a network: fails if the kernel was not downloaded yet
# apt downloads the package and checks it against the archive's signature; it is unpacked, not installed. Kept in $LAB_KERNELS.
set -eu
cache=${LAB_KERNELS:-/var/cache/tcmu-rbd-lab}
# What a root over 9p needs; all other modules are loaded from the root itself.
modules="virtio_pci 9pnet_virtio 9p"
work=

die() { echo "kernel.sh: $*" >&2; exit 1; }

# The newest package of that version, not the cloud flavour: it has no 9p.
package() {
  local name
  name=$(apt-cache search --names-only "^linux-image-${1//./\\.}\.[^-]*(-[0-9]+)?-amd64\$" | cut -d ' ' -f 1 | sort -V | tail -n 1)
  [ -n "$name" ] || die "no package linux-image-$1.*-amd64 in apt's lists; try apt-get update"
  echo "$name"
}

# initrd TREE RELEASE: busybox, and the modules in the order of their dependencies
initrd() {
  local tree=$1 root=$1/initrd.d module path
  mkdir -p "$root"/{bin,modules,proc,sys,dev,root}
  cp "$(command -v busybox)" "$root/bin/busybox"
  cp "$(dirname "$(realpath "$0")")/guest/initrd-init.sh" "$root/init"
  for module in $modules; do
    modprobe -d "$tree" -S "$2" --show-depends "$module"
  done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }' | while read -r path; do
    module=$(basename "$path" .xz)
    if [ "${path%.xz}" = "$path" ]; then cp "$path" "$root/modules/$module"; else xz -dc "$path" > "$root/modules/$module"; fi
    echo "$module"
  done > "$root/modules/order"
  grep -qx '9p.ko' "$root/modules/order" || die "the kernel $2 has no 9p"
  (cd "$root" && find . | cpio -o -H newc --quiet | gzip -1) > "$tree/initrd"
  rm -r "$root"
}

fetch() {
  local version=$1 name release
  for tool in busybox cpio xz modprobe apt-get; do
    command -v $tool > /dev/null || die "$tool is missing: packaging/deps.sh kernels"
  done
  name=$(package "$version")
  work=$(mktemp -d "$cache/new.XXXXXX")
  trap 'rm -rf "${work:?}"' EXIT
  echo "kernel.sh: downloading $name" >&2
  (cd "$work" && apt-get download -q=2 -o APT::Sandbox::User=root "$name") >&2
  mkdir "$work/package" "$work/tree"
  dpkg -x "$work"/*.deb "$work/package"
  mkdir "$work/tree/lib"
  mv "$(find "$work/package" -type d -path '*lib/modules')" "$work/tree/lib/"
  mv "$work"/package/boot/vmlinuz-* "$work/tree/vmlinuz"
  release=$(ls "$work/tree/lib/modules")
  depmod -b "$work/tree" "$release"
  initrd "$work/tree" "$release"
  chmod 755 "$work/tree"
  rm -rf "${cache:?}/$version"
  mv "$work/tree" "$cache/$version"
}

cached=
[ "${1:-}" = --cached ] && { cached=1; shift; }
version=${1:-}
[[ $version =~ ^[0-9]+\.[0-9]+$ ]] || { sed -n '4,5s/^# \{0,1\}//p' "$0" >&2; exit 2; }
mkdir -p "$cache"
exec 9> "$cache/lock"
flock 9
if [ ! -s "$cache/$version/initrd" ]; then
  [ -z "$cached" ] || die "no kernel $version in $cache: run kernel.sh $version, which wants a network"
  fetch "$version"
fi
echo "$cache/$version"
