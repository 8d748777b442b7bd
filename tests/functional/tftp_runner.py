"""Serves files from memory through the TFTP server, as a process of its own for foreign clients.

The argument is one JSON object: ``files`` (name to octets in hex, or {"size": n, "seed": s}), ``listen``
(list of addresses), and any of ``options``, ``policy``, ``admission``, ``stream``, ``uploads``, ``reactor``,
``quiet``. Prints one line of JSON with the ports once they are bound, then one for each report, until
standard input is closed.
"""

from __future__ import annotations

import gc
import json
import random
import resource
import sys
import threading
from pathlib import Path

from era_ap.admission import Admission, AdmissionPolicy
from era_ap.errors import Reason
from era_ap.provisioning.request import Content, FileRequest, Refusal, Subject
from era_ap.tftp.options import OptionPolicy
from era_ap.tftp.server import Policy, TftpServer, UploadPolicy

EVERYTHING = {"requests_per_second": 1e9, "burst": 10**9}
UNKNOWN = Refusal(Reason.NO_MASK, Subject())


def octets(description: object) -> bytes:
    if isinstance(description, str):
        return bytes.fromhex(description)
    assert isinstance(description, dict)
    return random.Random(description.get("seed", 1)).randbytes(int(description["size"]))


class Pieces:
    """A Stream over memory whose pieces come a moment later."""

    def __init__(self, data: bytes, reactor: object) -> None:
        self._data, self._reactor = data, reactor
        self.size, self.reason, self.subject = len(data), Reason.STATIC, Subject(file="stream")

    def read(self, offset: int, length: int) -> object:
        from twisted.internet.task import deferLater

        return deferLater(self._reactor, 0, lambda: self._data[offset : offset + length])

    def close(self) -> None:
        pass


class Files:
    def __init__(self, files: dict[str, bytes], stream: bool, reactor: object) -> None:
        self._stream, self._reactor, self._data = stream, reactor, files
        self._files = {name: Content(data, Reason.STATIC, Subject(file=name)) for name, data in files.items()}

    def open(self, request: FileRequest) -> object:
        name = request.name.lstrip("/")
        content = self._files.get(name)
        if content is None:
            return UNKNOWN
        return Pieces(content.data, self._reactor) if self._stream else content


def main() -> None:
    setup = json.loads(sys.argv[1])
    if setup.get("reactor") == "uvloop":
        import uvloop
        from twisted.internet import asyncioreactor

        asyncioreactor.install(uvloop.new_event_loop())
    elif setup.get("reactor") == "asyncio":
        from twisted.internet import asyncioreactor

        asyncioreactor.install()
    from twisted.internet import reactor

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 20000)), hard))
    policy = dict(setup.get("policy", {}))
    if "tid_ports" in policy:
        policy["tid_ports"] = range(*policy["tid_ports"])
    if "uploads" in setup:
        policy["uploads"] = UploadPolicy(Path(setup["uploads"]))
    quiet = bool(setup.get("quiet"))

    def on_end(report: object) -> None:
        if not quiet:
            print(
                json.dumps(
                    {"name": report.request.name, "reason": report.reason.code, "local": report.request.local}
                    | {"octets": report.octets, "blocks": report.blocks}
                    | {"retransmits": report.retransmits, "agreed": dict(report.agreed)}
                ),
                flush=True,
            )

    def on_error(error: BaseException) -> None:
        print(json.dumps({"error": repr(error)}), flush=True)

    files = {name: octets(what) for name, what in setup["files"].items()}
    server = TftpServer(
        reactor,
        Files(files, bool(setup.get("stream")), reactor),
        Policy(options=OptionPolicy(**setup.get("options", {})), **policy),
        Admission(AdmissionPolicy(**(EVERYTHING | setup.get("admission", {})))),
        on_end,
        on_error=on_error,
    )
    ports = [server.listen(address, setup.get("port", 0))[1] for address in setup["listen"]]
    server.serve()
    print(json.dumps({"ports": ports}), flush=True)

    def wait_for_end() -> None:
        sys.stdin.read()
        reactor.callFromThread(reactor.stop)

    threading.Thread(target=wait_for_end, daemon=True).start()
    reactor.addSystemEventTrigger("before", "shutdown", server.stop)
    gc.collect()
    gc.freeze()
    reactor.run()


if __name__ == "__main__":
    main()
