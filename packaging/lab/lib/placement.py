# SPDX-License-Identifier: Apache-2.0
"""Which OSD holds what of an image: tests hang one OSD and must know which blocks hang with it."""

import json


class Placement:
    def __init__(self, cluster, image, pool="rbd"):
        self._cluster = cluster
        self._pool = pool
        info = json.loads(cluster.rbd("info", f"{pool}/{image}", "--format", "json").stdout)
        self._id = info["id"]
        self.object_size = info["object_size"]
        self.object_count = info["objects"]
        # What opening, locking and asking for the lock touch.
        self.header = self._primary(f"rbd_header.{self._id}")
        self.channel = self._primary(f"tcmu-rbd.lock.{self._id}")
        names = (f"rbd_id.{image}", "rbd_directory", "rbd_info")
        self.metadata = {self.header, self.channel, *map(self._primary, names)}
        self.object_map = self._primary(f"rbd_object_map.{self._id}")

    def _primary(self, name):
        return self._cluster.command("osd map", pool=self._pool, object=name)["acting_primary"]

    def data(self, number):
        """The OSD of the image's data object of that number."""
        return self._primary(self.data_object(number))

    def data_object(self, number):
        return f"rbd_data.{self._id}.{number:016x}"

    def objects_on(self, osd):
        """Numbers of the data objects that are there."""
        return [number for number in range(self.object_count) if self.data(number) == osd]


def image_beside_an_osd(cluster, names, size, object_map_there=False, pool="rbd", **image):
    """An image, named by the first of `names` that will do, with data on each OSD and its metadata on the others than one, that
    one being the second of what is returned: (name, OSD, Placement). `object_map_there`: the object map is on that one too."""
    for name in names:
        cluster.create_image(name, size, pool=pool, **image)
        placement = Placement(cluster, name, pool)
        for osd in range(len(cluster.osds)):
            if osd not in placement.metadata and (placement.object_map == osd) == object_map_there and placement.objects_on(osd):
                return name, osd, placement
        cluster.remove(name, pool)
    raise RuntimeError("no image's metadata leaves an OSD free")


def image_with_its_lock_on_one_osd(cluster, names, size, **image):
    """An image whose header and lock's channel are on one OSD, where a gateway without the lock hangs: (name, OSD, Placement)."""
    for name in names:
        cluster.create_image(name, size, **image)
        placement = Placement(cluster, name)
        if placement.header == placement.channel:
            return name, placement.header, placement
        cluster.remove(name)
    raise RuntimeError("no image has its header and its lock's channel on one OSD")
