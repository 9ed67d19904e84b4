# SPDX-License-Identifier: Apache-2.0
"""Ceph's dashboard in the lab's manager: Debian's unmodified package, and its REST API.

    dashboard = CephDashboard(cluster)  # of a cluster with mgr=True
    dashboard.start()
    dashboard.add_gateway("http://USER:PASSWORD@ADDRESS:PORT")  # of rbd-target-api
    dashboard.get("ui-api/iscsi/overview")
"""

import json
import urllib.error
import urllib.request

from .isolation import wait_until

_ADDRESS, _PORT = "127.0.0.1", 8090
_USER, _PASSWORD = "lab", "lab-Pa55word"
# The manager starts again when a module is enabled.
_START_SECONDS = 90
_JSON = "application/vnd.ceph.api.v1.0+json"


class CephDashboard:
    def __init__(self, cluster):
        self._cluster = cluster
        self._token = None

    def start(self):
        for name, value in {"ssl": "false", "server_addr": _ADDRESS, "server_port": str(_PORT)}.items():
            self._cluster.command("config set", who="mgr", name=f"mgr/dashboard/{name}", value=value)
        self._cluster.command("mgr module enable", module="dashboard")
        wait_until(self._has_user, _START_SECONDS, "the dashboard has a user", interval=1)
        wait_until(self._log_in, _START_SECONDS, "the dashboard lets its user in", interval=1)

    def _has_user(self):
        try:
            self._cluster.manager_command("dashboard ac-user-create", _PASSWORD, username=_USER, rolename="read-only", force_password=True)
        except RuntimeError as refusal:
            return "already exists" in str(refusal)
        return True

    def _log_in(self):
        try:
            self._token = self._call("api/auth", {"username": _USER, "password": _PASSWORD})["token"]
        except (OSError, urllib.error.HTTPError):
            return False
        return True

    def add_gateway(self, url):
        self._cluster.manager_command("dashboard iscsi-gateway-add", url)

    def get(self, path):
        return self._call(path)

    def _call(self, path, form=None):
        headers = {"Accept": _JSON, "Content-Type": "application/json"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        data = json.dumps(form).encode() if form else None
        request = urllib.request.Request(f"http://{_ADDRESS}:{_PORT}/{path}", data, headers)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read())
