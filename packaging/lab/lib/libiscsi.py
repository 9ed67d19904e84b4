# SPDX-License-Identifier: Apache-2.0
"""An initiator in user space (libiscsi by ctypes): any CDB, the status and sense as they came, task management, no retries.

    with Session(target.url()) as session:
        session.write(0, b"x" * 512)
        slow = session.submit(cdb.write16(0, 1), data=b"y" * 512)
        session.abort(slow).wait(5)
"""

import ctypes
import select
import time
from ctypes import c_char_p, c_int, c_size_t, c_ubyte, c_uint32, c_uint64, c_void_p
from urllib.parse import urlparse

from . import cdb
from .channel import LabError

GOOD, CHECK_CONDITION, BUSY, RESERVATION_CONFLICT, TASK_SET_FULL, TASK_ABORTED = 0x00, 0x02, 0x08, 0x18, 0x28, 0x40
CANCELLED = 0x0F000000  # the library's own: the command was dropped by a task management
_NORMAL_SESSION = 2
_XFER_NONE, _XFER_READ, _XFER_WRITE = 0, 1, 2
_LOGOUT_SECONDS = 10
_SEND_SECONDS = 30
_TMF_LUN_RESET, _NO_TASK_TAG = 5, 0xFFFFFFFF
_TASK_DOES_NOT_EXIST = 1  # a response (RFC 7143, 11.6.1)

_lib = ctypes.CDLL("libiscsi.so.7")


class _Data(ctypes.Structure):
    _fields_ = [("size", c_size_t), ("data", c_char_p)]


class _Sense(ctypes.Structure):
    # 1.20 has one member more, and the same soname.
    _fields_ = [("error_type", c_ubyte), ("key", c_int), ("ascq", c_int), ("specific", c_uint32),
                *([("information", c_uint64)] if hasattr(_lib, "iscsi_force_reconnect") else [])]


class _DataIn(ctypes.Structure):
    _fields_ = [("size", c_int), ("data", c_void_p)]


class _Task(ctypes.Structure):
    """The beginning of struct scsi_task, as the library's header promises it to its users."""

    _fields_ = [("status", c_int), ("cdb_size", c_int), ("xfer_dir", c_int), ("expxferlen", c_int), ("cdb", c_ubyte * 16),
                ("residual_status", c_int), ("residual", c_size_t), ("sense", _Sense), ("datain", _DataIn)]


_CALLBACK = ctypes.CFUNCTYPE(None, c_void_p, c_int, c_void_p, c_void_p)


def _declare(name, result, *arguments):
    function = getattr(_lib, name)
    function.restype, function.argtypes = result, arguments
    return function


_create_context = _declare("iscsi_create_context", c_void_p, c_char_p)
_destroy_context = _declare("iscsi_destroy_context", c_int, c_void_p)
_set_targetname = _declare("iscsi_set_targetname", c_int, c_void_p, c_char_p)
_set_session_type = _declare("iscsi_set_session_type", c_int, c_void_p, c_int)
_set_noautoreconnect = _declare("iscsi_set_noautoreconnect", None, c_void_p, c_int)
_set_timeout = _declare("iscsi_set_timeout", c_int, c_void_p, c_int)
_full_connect = _declare("iscsi_full_connect_sync", c_int, c_void_p, c_char_p, c_int)
_get_error = _declare("iscsi_get_error", c_char_p, c_void_p)
_logout = _declare("iscsi_logout_sync", c_int, c_void_p)
_get_fd = _declare("iscsi_get_fd", c_int, c_void_p)
_which_events = _declare("iscsi_which_events", c_int, c_void_p)
_service = _declare("iscsi_service", c_int, c_void_p, c_int)
_create_task = _declare("scsi_create_task", ctypes.POINTER(_Task), c_int, c_char_p, c_int, c_int)
_free_task = _declare("scsi_free_scsi_task", None, c_void_p)
_command = _declare("iscsi_scsi_command_async", c_int, c_void_p, c_int, ctypes.POINTER(_Task), _CALLBACK,
                    ctypes.POINTER(_Data), c_void_p)
_abort = _declare("iscsi_task_mgmt_abort_task_async", c_int, c_void_p, ctypes.POINTER(_Task), _CALLBACK, c_void_p)
_manage = _declare("iscsi_task_mgmt_async", c_int, c_void_p, c_int, c_int, c_uint32, c_uint32, _CALLBACK, c_void_p)
_out_queue_length = _declare("iscsi_out_queue_length", c_int, c_void_p)
_cancel = _declare("iscsi_scsi_cancel_task", c_int, c_void_p, ctypes.POINTER(_Task))
_set_isid = _declare("iscsi_set_isid_random", c_int, c_void_p, c_uint32, c_uint32)


class Pending:
    """A command or a task management on its way; after its end: status, data, sense, and when."""

    def __init__(self, session, what):
        self.session, self.what = session, what
        self.status = self.ended = self.response = None
        self.data = self.sense = b""
        self.key = self.ascq = 0
        self.started = time.monotonic()
        self.task = self.keep = None

    @property
    def done(self):
        return self.status is not None

    @property
    def seconds(self):
        return self.ended - self.started

    def wait(self, timeout=60):
        self.session.poll(lambda: self.done, timeout, self.what)
        return self

    def good(self):
        if self.status != GOOD:
            raise LabError(f"{self.what}: {self}")
        return self

    def __str__(self):
        if self.status is None:
            return "no answer"
        return f"status {self.status:#x}, sense {self.key:X}/{self.ascq >> 8:02X}/{self.ascq & 0xFF:02X}"


class Session:
    def __init__(self, url, initiator="iqn.2026-11.lab:outside", timeout=30, isid=None):
        """`isid`: a session with the same one takes the place of the older, as that of a host that has booted again."""
        parts = urlparse(url)
        iqn, lun = parts.path[1:].rsplit("/", 1)
        self.lun = int(lun)
        self._running = {}
        self._number = 0
        self._done = _CALLBACK(self._on_done)
        self._context = _create_context(initiator.encode())
        _set_targetname(self._context, iqn.encode())
        _set_session_type(self._context, _NORMAL_SESSION)
        _set_noautoreconnect(self._context, 1)
        if isid is not None:
            _set_isid(self._context, isid, 0)
        _set_timeout(self._context, timeout)
        if _full_connect(self._context, parts.netloc.encode(), self.lun) != 0:
            message = self._error()
            _destroy_context(self._context)
            raise LabError(f"login to {url}: {message}")
        _set_timeout(self._context, 0)  # from here on the caller's own patience decides

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        if self._context:
            if not self._running:
                _set_timeout(self._context, _LOGOUT_SECONDS)  # the gateway may be dead
                _logout(self._context)
            self.drop()

    def drop(self):
        """Ends the connection without a word, as an initiator does that is killed."""
        _destroy_context(self._context)
        self._context = None

    def _error(self):
        return (_get_error(self._context) or b"").decode(errors="replace").strip()

    # --- commands ---

    def submit(self, command, read=0, data=b"", lun=None):
        """Queues a CDB that reads `read` bytes or writes `data`; returns at once."""
        direction = _XFER_WRITE if data else _XFER_READ if read else _XFER_NONE
        pending = self._start(f"CDB {command.hex()}")
        pending.task = _create_task(len(command), command, direction, len(data) or read)
        pending.keep = _Data(len(data), data)
        outgoing = ctypes.byref(pending.keep) if data else None
        lun = self.lun if lun is None else lun
        if _command(self._context, lun, pending.task, self._done, outgoing, self._number) != 0:
            raise LabError(f"{pending.what}: {self._error()}")
        return pending

    def command(self, command, read=0, data=b"", lun=None, timeout=60):
        """Runs a CDB to its end, whatever that is."""
        return self.submit(command, read, data, lun).wait(timeout)

    def abort(self, pending):
        """ABORT TASK; its `response` is the target's (0: function complete). The command itself stays: see forget()."""
        self.send_all()
        if pending.done:  # meanwhile, so the library has no task of it any more
            management = Pending(self, f"ABORT TASK of {pending.what}")
            management.status, management.response, management.ended = GOOD, _TASK_DOES_NOT_EXIST, time.monotonic()
            return management
        management = self._start(f"ABORT TASK of {pending.what}")
        _abort(self._context, pending.task, self._done, self._number)
        return management

    def lun_reset(self, lun=None):
        self.send_all()
        # The library's own call for it would cancel all commands here before the target has said a word.
        management = self._start("LUN RESET")
        _manage(self._context, self.lun if lun is None else lun, _TMF_LUN_RESET, _NO_TASK_TAG, 0, self._done, self._number)
        return management

    def forget(self, *commands):
        """No answer is awaited any more for what was aborted; what has one keeps it, the others become CANCELLED."""
        self.send_all()  # The library would drop a command of which a part is sent already, and the target lose its place.
        for pending in commands:
            if not pending.done:
                _cancel(self._context, pending.task)

    def read(self, lba, blocks, block_size=512, lun=None):
        return self.command(cdb.read16(lba, blocks), read=blocks * block_size, lun=lun).good().data

    def write(self, lba, data, block_size=512, lun=None):
        return self.command(cdb.write16(lba, len(data) // block_size), data=data, lun=lun).good()

    def capacity(self, lun=None):
        """(number of blocks, block size) by READ CAPACITY (16)."""
        data = self.command(cdb.read_capacity16(), read=32, lun=lun).good().data
        return int.from_bytes(data[0:8], "big") + 1, int.from_bytes(data[8:12], "big")

    # --- events ---

    def poll(self, condition, timeout, what="an event"):
        deadline = time.monotonic() + timeout
        while not condition():
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"not within {timeout} s: {what}")
            poller = select.poll()
            poller.register(_get_fd(self._context), _which_events(self._context))
            ready = poller.poll(min(left, 0.5) * 1000)
            if _service(self._context, ready[0][1] if ready else 0) < 0:
                raise LabError(f"{what}: the connection is lost: {self._error()}")

    def send_all(self):
        """What was submitted is with the target: the library lets task managements pass all commands that still wait here."""
        self.poll(lambda: not _out_queue_length(self._context) and not _which_events(self._context) & select.POLLOUT, _SEND_SECONDS,
                  "the session's command window has room for what was submitted")

    def linger(self, seconds, until=lambda: False):
        """Takes what comes in for a while."""
        try:
            self.poll(until, seconds)
        except TimeoutError:
            pass

    def _start(self, what):
        self._number += 1
        pending = self._running[self._number] = Pending(self, what)
        return pending

    def _on_done(self, _context, status, result, number):
        pending = self._running.pop(number)
        pending.ended = time.monotonic()
        if pending.task:
            self._take(pending)
        elif result:
            pending.response = ctypes.cast(result, ctypes.POINTER(c_uint32))[0]
        pending.status = status

    @staticmethod
    def _take(pending):
        task = pending.task.contents
        pending.key, pending.ascq = task.sense.key, task.sense.ascq
        data = ctypes.string_at(task.datain.data, task.datain.size) if task.datain.data else b""
        if task.status == CHECK_CONDITION:
            pending.sense = data[2:]  # behind their length
        else:
            pending.data = data
        _free_task(pending.task)
        pending.task = None
