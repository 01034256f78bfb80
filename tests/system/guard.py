"""Kill the sessions that are named on standard input, once it ends: that is when the tests do, somehow.

A line is ``+`` and the process id of a session's leader, or ``-`` and the id of one that need not be killed.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys

import psutil

leaders: set[int] = set()
for line in sys.stdin:
    pid = int(line[1:])
    if line.startswith("+"):
        leaders.add(pid)
    else:
        leaders.discard(pid)

# A session forks while it is killed, so until nothing is left of it.
found = True
while found:
    found = False
    for pid in psutil.pids():
        with contextlib.suppress(ProcessLookupError, PermissionError, psutil.NoSuchProcess):
            if os.getsid(pid) in leaders and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                os.kill(pid, signal.SIGKILL)
                found = True
