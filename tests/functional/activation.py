"""Stands in for systemd sockets: binds, hands them over as sd_listen_fds(3) has it, becomes the command.

    python -m tests.functional.activation NAME=ADDRESS:PORT... -- COMMAND...

Names as in the .socket units: tftp is for datagrams, others for connections. Port 0: the kernel chooses.
"""

from __future__ import annotations

import os
import socket
import sys

from era_ap.systemd import FIRST_DESCRIPTOR, KINDS

SPARE = 100


def main(arguments: list[str]) -> None:
    """Bind and become the command."""
    split = arguments.index("--")
    names = []
    for place, wish in enumerate(arguments[:split]):
        name, _, where = wish.partition("=")
        address, _, port = where.rpartition(":")
        sock = socket.socket(socket.AF_INET, KINDS[name])
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((address, int(port)))
        if KINDS[name] == socket.SOCK_STREAM:
            sock.listen()
        os.dup2(sock.detach(), SPARE + place)
        names.append(name)
    for place in range(len(names)):
        os.dup2(SPARE + place, FIRST_DESCRIPTOR + place)
        os.close(SPARE + place)
    given = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(len(names)), "LISTEN_FDNAMES": ":".join(names)}
    command = arguments[split + 1 :]
    os.execvpe(command[0], command, os.environ | given)


if __name__ == "__main__":
    main(sys.argv[1:])
