"""Runs before the server in its process: drops root and ties the process to its starter's life.

A program of its own, because between fork and exec only async-signal-safe code may run. It needs
the standard library only.
"""

import ctypes
import os
import signal
import sys
from collections.abc import Sequence
from typing import NoReturn

_PR_SET_PDEATHSIG = 1


def become(arguments: Sequence[str]) -> NoReturn:
    """Become a command. `arguments`: process id of the starter, uid, gid, the command."""
    parent, uid, gid, *command = arguments
    try:
        if int(uid) != os.geteuid():  # in this order: without root the first two would be refused
            os.setgroups([])
            os.setgid(int(gid))
            os.setuid(int(uid))
        if sys.platform == "linux":
            # When the starting thread ends, the kernel sends SIGINT, for a fast shutdown.
            # A later change of user would clear this.
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGINT)
        if os.getppid() != int(parent):
            sys.exit("The starting process has ended.")
        os.execv(command[0], command)
    except OSError as error:
        sys.exit(f"{command[0]} cannot be run: {error}")


if __name__ == "__main__":
    become(sys.argv[1:])
