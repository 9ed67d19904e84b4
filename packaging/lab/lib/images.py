# SPDX-License-Identifier: Apache-2.0
"""Images of a cluster by the rbd tool: the cluster's own view of what the gateways serve."""

import json
import subprocess
import sys

# In a separate process: a read that hangs with the cluster can be abandoned.
_READ_SCRIPT = """
import os, rados, rbd, sys
conf, pool, name, offset, length = sys.argv[1:]
with rados.Rados(conffile=conf) as cluster, cluster.open_ioctx(pool) as ioctx, rbd.Image(ioctx, name, read_only=True) as image:
    os.write(1, image.read(int(offset), int(length)))
"""


class Images:
    def __init__(self, conf):
        self.conf = conf

    def rbd(self, *arguments, timeout=60, check=True, **options):
        """Runs the rbd tool on the cluster's side; returns the finished process."""
        done = subprocess.run(["rbd", "-c", self.conf, *map(str, arguments)], capture_output=True, timeout=timeout, **options)
        if check and done.returncode != 0:
            raise RuntimeError(f"rbd {' '.join(map(str, arguments))}: {done.stderr.decode(errors='replace')}")
        return done

    def create_image(self, name, size, pool="rbd", features=None, object_size=None):
        """An image of `size` bytes, a multiple of 512 as the devices have it."""
        extra = ["--image-feature", ",".join(features)] if features else []
        extra += ["--object-size", object_size] if object_size else []
        self.rbd("create", f"{pool}/{name}", "--size", f"{size}B", *extra)

    def watchers(self, image, pool="rbd"):
        """The addresses of the clients that have the image open."""
        return [w["address"] for w in json.loads(self.rbd("status", f"{pool}/{image}", "--format", "json").stdout)["watchers"]]

    def lockers(self, image, pool="rbd"):
        return json.loads(self.rbd("lock", "ls", f"{pool}/{image}", "--format", "json").stdout)

    def export(self, image, path="-", pool="rbd", timeout=300):
        """The image's bytes as the cluster has them: to a file, or returned."""
        return self.rbd("export", "--no-progress", f"{pool}/{image}", path, timeout=timeout).stdout

    def resize(self, image, size, pool="rbd", timeout=60):
        self.rbd("resize", "--no-progress", "--allow-shrink", f"{pool}/{image}", "--size", f"{size}B", timeout=timeout)

    def remove(self, image, pool="rbd"):
        self.rbd("rm", "--no-progress", f"{pool}/{image}")

    def read(self, image, offset, length, pool="rbd", timeout=60):
        """Bytes of the image as another client sees them, however large it is."""
        arguments = [sys.executable, "-c", _READ_SCRIPT, self.conf, pool, image, str(offset), str(length)]
        return subprocess.run(arguments, capture_output=True, check=True, timeout=timeout).stdout
