#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Builds the rpm of HEAD with the tools of this machine, Debian included, and lets rpmlint look at it.
#   build-rpm.sh [OUTDIR]   OUTDIR: build/rpm
# On Debian, rpm is told not to look for the dependencies of the build, which are Debian's (deps.sh package), and to compress
# manual pages and strip programs as RHEL's does. The rpm is linked with the libraries of this machine, so a package for RHEL is
# built there; here it shows that the spec is right.
set -eu
cd "$(dirname "$0")/.."
out=$(realpath -m "${1:-build/rpm}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

spec=packaging/rpm/tcmu-rbd.spec
version=$(sed -n 's/^Version: *//p' $spec)
mkdir -p "$work/SOURCES" "$out"
git archive --prefix="tcmu-rbd-$version/" -o "$work/SOURCES/tcmu-rbd-$version.tar.gz" HEAD
foreign=()
[ ! -e /etc/debian_version ] || {
  # A script for bash, which Debian's /bin/sh is not.
  foreign=(--nodeps --define '__os_install_post bash /usr/lib/rpm/brp-compress && strip "$RPM_BUILD_ROOT"/usr/bin/tcmu-rbd*')
}
rpmbuild -bb "${foreign[@]}" --define "_topdir $work" $spec
rm -f "$out"/tcmu-rbd-*.rpm
mv "$work"/RPMS/*/tcmu-rbd-*.rpm "$out"
rpmlint --strict -c packaging/rpm/rpmlint.toml $spec "$out"/tcmu-rbd-*.rpm
ls -l "$out"
