# SPDX-License-Identifier: Apache-2.0
"""A Prometheus (Debian's package) on the lab's side of the network, which scrapes the gateways' daemons."""

import json
import os
import shutil
import subprocess
import urllib.parse
import urllib.request

from . import isolation

_ADDRESS = "127.0.0.1:9090"
_START_SECONDS = 30
_ANSWER_SECONDS = 20


class Prometheus:
    def __init__(self, targets, interval, rules):
        """`targets`: HOST:PORT of each daemon, scraped every `interval` ("500ms"); `rules`: a file with alert rules."""
        self._directory = f"{isolation.directory()}/prometheus"
        self._process = None
        os.makedirs(self._directory)
        shutil.copy(rules, f"{self._directory}/rules.yaml")
        settings = {"global": {"scrape_interval": interval, "scrape_timeout": interval, "evaluation_interval": interval},
                    "rule_files": ["rules.yaml"],
                    "scrape_configs": [{"job_name": "tcmu-rbd", "static_configs": [{"targets": targets}]}]}
        with open(f"{self._directory}/prometheus.yaml", "w", encoding="utf-8") as file:
            json.dump(settings, file)  # which is YAML too

    def start(self):
        with open(f"{self._directory}/log", "ab") as log:
            self._process = subprocess.Popen(
                ["prometheus", f"--config.file={self._directory}/prometheus.yaml", f"--storage.tsdb.path={self._directory}/data",
                 f"--web.listen-address={_ADDRESS}"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        isolation.wait_until(self._ready, _START_SECONDS, f"Prometheus is ready: {self._directory}/log")
        return self

    def stop(self):
        self._process.terminate()
        self._process.wait(_START_SECONDS)

    def _ready(self):
        try:
            with urllib.request.urlopen(f"http://{_ADDRESS}/-/ready", timeout=2) as answer:
                return answer.status == 200
        except OSError:
            return False

    def api(self, path, **arguments):
        """The data of an answer; an error or a warning is raised."""
        url = f"http://{_ADDRESS}/api/v1/{path}?{urllib.parse.urlencode(arguments)}"
        with urllib.request.urlopen(url, timeout=_ANSWER_SECONDS) as answer:
            reply = json.load(answer)
        if reply["status"] != "success" or reply.get("warnings"):
            raise RuntimeError(f"{url}: {reply}")
        return reply["data"]

    def range(self, query, start, end, step):
        """[(labels, [(time, value)])] of each series; times are those of Unix."""
        found = self.api("query_range", query=query, start=start, end=end, step=step)["result"]
        return [(each["metric"], [(time, float(value)) for time, value in each["values"]]) for each in found]
