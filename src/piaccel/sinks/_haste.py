"""How soon a thread that must be on time gets the interpreter from one that is computing in Python."""

from __future__ import annotations

import os
import sys
import threading

INTERVAL_S = 0.0005
"""CPython lets a thread compute for 5 ms before another gets its turn (``sys.setswitchinterval``). On a PC with one
busy Python thread a pulse came 5.2 ms late in the middle and 5.4 ms at p99; with this interval 0.7 ms and 0.8 ms, and
three busy threads got no less done (within 8 %, the noise of that machine)."""

_lock = threading.Lock()
_users = 0
_usual_s = 0.0


def hurry() -> None:
    """Let threads take turns sooner, until ``relax`` was called as often."""
    global _users, _usual_s
    with _lock:
        if _users == 0:
            _usual_s = sys.getswitchinterval()
            sys.setswitchinterval(min(_usual_s, INTERVAL_S))
        _users += 1


def relax() -> None:
    """Undo one ``hurry``; the last gives back the interval that was there."""
    global _users
    with _lock:
        _users -= 1
        if _users == 0:
            sys.setswitchinterval(_usual_s)


def ask_for_realtime() -> bool:
    """Let this thread run before ordinary ones (SCHED_FIFO); True where the system permits it."""
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(10))
    except (AttributeError, OSError):
        return False
    return True
