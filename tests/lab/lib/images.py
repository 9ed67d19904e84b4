# SPDX-License-Identifier: Apache-2.0
"""Images of a cluster by the rbd tool: the cluster's own view of what the gateways serve."""

import json
import subprocess


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

    def remove(self, image, pool="rbd"):
        self.rbd("rm", "--no-progress", f"{pool}/{image}")
