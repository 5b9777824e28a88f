"""Runs between fork and exec of the server: drops root and ties its life to its starter's.

A program of its own, because only async-signal-safe code may run in the fork of a process with
threads, and a new interpreter is free to do anything. It knows the standard library only.
"""

import ctypes
import os
import signal
import sys
from collections.abc import Sequence
from typing import NoReturn

_PR_SET_PDEATHSIG = 1


def become(arguments: Sequence[str]) -> NoReturn:
    """Becomes a command. `arguments`: pid of the starter, uid and gid or two empty, command."""
    parent, uid, gid, *command = arguments
    try:
        if uid:
            # In this order: without root's rights the first two would be refused.
            os.setgroups([])
            os.setgid(int(gid))
            os.setuid(int(uid))
        if sys.platform == "linux":
            # The kernel sends it a SIGINT, a fast shutdown, when the starting thread is no more, by
            # kill -9 too. After the change of user, which would clear this.
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGINT)
        if os.getppid() != int(parent):
            sys.exit("The starter died before it could be followed.")
        os.execv(command[0], command)
    except OSError as error:
        sys.exit(f"{command[0]} cannot be run: {error}")


if __name__ == "__main__":
    become(sys.argv[1:])
