#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Builds the Debian package of HEAD.
#   build-deb.sh [OUTDIR]   OUTDIR: build/deb. Ends with the .deb files there, and lintian's verdict if lintian is installed.
# DEB_BUILD_OPTIONS=nocheck leaves the unit tests out, parallel=N limits the jobs.
set -eu
cd "$(dirname "$0")/.."
out=$(realpath -m "${1:-build/deb}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

source=$work/tcmu-rbd
mkdir -p "$source" "$out"
git archive HEAD | tar -x -C "$source"
# Debian's tools want the folder at the top.
cp -r "$source/packaging/debian" "$source/debian"
# The same files whenever they are built: the time of the commit.
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH
(cd "$source" && dpkg-buildpackage -us -uc -b)
rm -f "$out"/tcmu-rbd*
mv "$work"/tcmu-rbd*.* "$out"
! command -v lintian > /dev/null || lintian --allow-root --pedantic --display-info --fail-on error,warning,info,pedantic "$out"/*.changes
ls -l "$out"
