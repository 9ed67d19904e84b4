# SPDX-License-Identifier: Apache-2.0
"""A Debian 12 in a folder of its own, to install the package in. As root, with a network; services are not started."""

import glob
import os
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, os.pardir))
# What was downloaded is kept: the base system and the packages.
CACHE = os.environ.get("TCMU_RBD_CHROOT_CACHE", "/var/cache/tcmu-rbd")

# Its own mount namespace, so that nothing stays mounted.
RUN = """set -e
mount -t proc proc "$0/proc"
mount --bind "$1" "$0/var/cache/apt/archives"
exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive chroot "$0" sh -c "$2" < /dev/null
"""


def package(kind="deb"):
    """The package to test: the last argument, or the newest one that packaging/build-KIND.sh has made."""
    if sys.argv[-1].endswith(f".{kind}"):
        return os.path.abspath(sys.argv.pop())
    found = glob.glob(f"{ROOT}/build/{kind}/tcmu-rbd[-_][0-9]*.{kind}")
    if not found:
        sys.exit(f"no package: run packaging/build-{kind}.sh first")
    return max(found, key=os.path.getmtime)


class Chroot:
    def __init__(self, file):
        base = f"{CACHE}/base"
        os.makedirs(f"{CACHE}/archives/partial", exist_ok=True)
        if not os.path.exists(base):
            subprocess.run(["debootstrap", "--variant=minbase", "bookworm", f"{base}.new"], check=True)
            os.rename(f"{base}.new", base)
        self.root = tempfile.mkdtemp(prefix="tcmu-rbd-package-", dir=CACHE)
        subprocess.run(["cp", "-a", f"{base}/.", self.root], check=True)
        self.write("usr/sbin/policy-rc.d", "#!/bin/sh\nexit 101\n", 0o755)
        shutil.copy(file, f"{self.root}/root/tcmu-rbd{os.path.splitext(file)[1]}")
        shutil.copy(f"{ROOT}/packaging/debian/tests/smoke", f"{self.root}/root/smoke")
        self.run("apt-get update -qq")

    def close(self):
        shutil.rmtree(self.root)

    def path(self, name):
        return f"{self.root}/{name}"

    def write(self, name, text, mode=0o644):
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(self.path(name), mode)

    def read(self, name):
        with open(self.path(name), encoding="utf-8") as file:
            return file.read()

    def run(self, command, check=True):
        # One at a time: apt locks the folder of packages, and does not wait.
        done = subprocess.run(["flock", f"{CACHE}/lock", "unshare", "--mount", "sh", "-c", RUN, self.root, f"{CACHE}/archives", command],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=1800, check=False)
        if check and done.returncode != 0:
            raise AssertionError(f"{command}: {done.returncode}\n{done.stdout[-4000:]}")
        return done.stdout

    def apt(self, what):
        return self.run(f"apt-get -y --no-install-recommends -o Dpkg::Use-Pty=0 {what}")

    def status(self, package):
        """dpkg's word for it; for one that was purged, or never there, not-installed."""
        return self.run(f"dpkg-query -W -f '${{db:Status-Status}}' {package} 2> /dev/null", check=False) or "not-installed"

    def files(self):
        """All but what apt, dpkg and the page index keep for themselves."""
        return set(self.run("find / -xdev ! -path '/var/lib/apt/*' ! -path '/var/lib/dpkg/*' ! -path '/var/cache/*' "
                            "! -path '/var/log/*' ! -path '/proc/*' ! -path '/tmp/*'").splitlines())
