# SPDX-License-Identifier: Apache-2.0
"""The lab's hands on a machine with LIO: takes requests over a socket, one connection each, any number at once.

A request and each reply is a 4-byte big-endian length and a JSON object. Operations:
    sh      {script}                   -> {out: text}..., {rc: number}; the script's process group dies with the connection
    files   {steps: [[verb, ...]...]}  -> {results: [...]} or {error, errno, step}; without a fork, so that 20 LUNs are quick
    spawn   {argv, env, log, notify}   -> {pid}, then {ready: true} when the process has sent READY=1, or {rc} if it ended first
    wait    {pid}                      -> {rc} of a spawned process
"""

import glob
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading

_spawned = {}


def receive(sock):
    header = _exactly(sock, 4)
    return json.loads(_exactly(sock, int.from_bytes(header, "big")))


def send(sock, message):
    body = json.dumps(message).encode()
    sock.sendall(len(body).to_bytes(4, "big") + body)


def _exactly(sock, count):
    data = b""
    while len(data) < count:
        part = sock.recv(count - len(data))
        if not part:
            raise ConnectionError("closed")
        data += part
    return data


def run_script(sock, request):
    process = subprocess.Popen(
        ["bash", "-c", request["script"]], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        start_new_session=True)
    output = process.stdout.fileno()
    os.set_blocking(output, False)
    ended = os.pidfd_open(process.pid)
    poller = select.poll()
    for descriptor in (output, ended, sock.fileno()):
        poller.register(descriptor, select.POLLIN)
    try:
        while True:
            ready = {descriptor for descriptor, _ in poller.poll()}
            data = _drain(output) if output in ready or ended in ready else None
            if data:
                send(sock, {"out": data.decode(errors="replace")})
            elif data == b"" and ended not in ready:
                poller.unregister(output)  # closed early by the script itself
            if ended in ready:
                send(sock, {"rc": process.wait()})
                return
            if sock.fileno() in ready:  # the caller gave up
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                return
    finally:
        os.close(ended)
        process.stdout.close()


def _drain(descriptor):
    """What can be read now: b'' at the end of the file, None when there is nothing yet."""
    data = b""
    while True:
        try:
            part = os.read(descriptor, 65536)
        except BlockingIOError:
            return data or None
        if not part:
            return data
        data += part


def _write_once(path, text):
    # configfs takes a value in one write(2).
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


def _read(path):
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


_FILE_VERBS = {
    "mkdir": lambda path: os.makedirs(path, exist_ok=True),
    "rmdir": os.rmdir,
    "write": _write_once,
    "read": _read,
    "symlink": os.symlink,
    "unlink": os.unlink,
    "glob": lambda pattern: sorted(glob.glob(pattern)),
    "exists": os.path.lexists,
}


def do_files(sock, request):
    results = []
    for step in request["steps"]:
        try:
            results.append(_FILE_VERBS[step[0]](*step[1:]))
        except OSError as error:
            send(sock, {"error": error.strerror, "errno": error.errno, "step": step})
            return
    send(sock, {"results": results})


def spawn(sock, request):
    notify = f"\0lab-notify-{threading.get_ident()}-{len(_spawned)}"
    ready = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    ready.bind(notify)
    environment = {**os.environ, **request.get("env", {}), "NOTIFY_SOCKET": "@" + notify[1:]}
    with open(request["log"], "ab", buffering=0) as log:
        process = subprocess.Popen(
            request["argv"], stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, start_new_session=True)
    _spawned[process.pid] = process
    send(sock, {"pid": process.pid})
    ended = os.pidfd_open(process.pid)
    poller = select.poll()
    for descriptor in (ready.fileno(), ended, sock.fileno()):
        poller.register(descriptor, select.POLLIN)
    try:
        while True:
            for descriptor, _ in poller.poll():
                if descriptor == ready.fileno() and b"READY=1" in ready.recv(4096):
                    send(sock, {"ready": True})
                    return
                if descriptor == ended:
                    send(sock, {"rc": process.wait()})
                    return
                if descriptor == sock.fileno():
                    return  # the caller does not wait for readiness
    finally:
        os.close(ended)
        ready.close()


def wait_for(sock, request):
    send(sock, {"rc": _spawned[request["pid"]].wait()})


_OPERATIONS = {"sh": run_script, "files": do_files, "spawn": spawn, "wait": wait_for}


def serve(sock):
    with sock:
        try:
            request = receive(sock)
            _OPERATIONS[request["op"]](sock, request)
        except (ConnectionError, BrokenPipeError):
            pass
        except Exception as error:  # the caller must hear of it, whatever it is
            try:
                send(sock, {"error": f"agent: {error!r}", "errno": 0, "step": []})
            except OSError:
                pass


def main():
    """agent.py ADDRESS PORT, or agent.py PATH for a local socket."""
    if len(sys.argv) == 2:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(sys.argv[1])
        listener.listen(64)
    else:
        listener = socket.create_server((sys.argv[1], int(sys.argv[2])), backlog=64)
    while True:
        sock, _ = listener.accept()
        if sock.family == socket.AF_INET:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=serve, args=(sock,), daemon=True).start()


if __name__ == "__main__":
    main()
