# SPDX-License-Identifier: Apache-2.0
"""The way to run things in a gateway: requests to the agent there (guest/agent.py), one connection each."""

import json
import shlex
import socket
import sys
import time


# Of the agent in a gateway.
AGENT_PORT = 700


class LabError(AssertionError):
    """A failure in the lab, reported with the output of the guest and the daemon."""


class GuestTimeout(LabError):
    """A guest did not answer in time: it is frozen, dead, or the command hangs in its kernel."""


class FileError(OSError):
    """A file operation in a gateway failed."""


class Channel:
    def __init__(self, endpoint):
        """`endpoint`: (address, port), or the path of a local socket."""
        self._endpoint = endpoint

    def connect(self, timeout):
        if isinstance(self._endpoint, str):
            sock = socket.socket(socket.AF_UNIX)
            sock.settimeout(timeout)
            sock.connect(self._endpoint)
            return sock
        sock = socket.create_connection(self._endpoint, timeout=timeout)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    def answers(self):
        """Whether the agent takes connections already."""
        try:
            with self.connect(1):
                return True
        except OSError:
            return False

    def requests(self, message, timeout):
        """Sends one request and yields its replies until the connection ends, for `timeout` seconds in all."""
        deadline = time.monotonic() + timeout
        try:
            with self.connect(timeout) as sock:
                body = json.dumps(message).encode()
                sock.sendall(len(body).to_bytes(4, "big") + body)
                while True:
                    reply = _receive(sock, deadline)
                    if reply is None:
                        return
                    yield reply
        except (TimeoutError, socket.timeout):
            raise GuestTimeout(f"no answer from the gateway within {timeout} s: {_brief(message)}") from None
        except OSError as error:
            raise LabError(f"the gateway's agent is unreachable ({error}): {_brief(message)}") from None

    def script(self, script, timeout):
        """Runs a bash script; returns (status, output)."""
        output = []
        for reply in self.requests({"op": "sh", "script": script}, timeout):
            if "out" in reply:
                output.append(reply["out"])
            elif "rc" in reply:
                return reply["rc"], "".join(output)
            else:
                raise LabError(reply["error"])
        raise LabError(f"the gateway dropped the command: {script[:120]!r}")

    def files(self, *steps, timeout=30):
        """Runs file operations in order; returns their results; raises FileError at the first that fails."""
        for reply in self.requests({"op": "files", "steps": steps}, timeout):
            if "results" in reply:
                return reply["results"]
            raise FileError(reply["errno"], reply["error"], shlex.join(str(word) for word in reply["step"]))
        raise LabError(f"the gateway dropped the file operations: {steps!r}")


def _receive(sock, deadline):
    """The next reply, or None at the end of the connection."""
    header = _exactly(sock, 4, deadline)
    if header is None:
        return None
    body = _exactly(sock, int.from_bytes(header, "big"), deadline)
    return None if body is None else json.loads(body)


def _exactly(sock, count, deadline):
    data = b""
    while len(data) < count:
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            raise TimeoutError
        sock.settimeout(remaining)
        part = sock.recv(count - len(data))
        if not part:
            return None
        data += part
    return data


def _brief(message):
    return (message.get("script") or message.get("argv") or message.get("steps") or message)


if __name__ == "__main__":  # channel.py ADDRESS SCRIPT: to inspect a running lab
    outcome, text = Channel((sys.argv[1], AGENT_PORT)).script(sys.argv[2], 600)
    print(text, end="")
    sys.exit(outcome)
