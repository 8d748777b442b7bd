"""How many of the site's files are rendered in a second on one core: ``rendering.py SITE_CONFIG``.

Every phone's file once, from the request's name to the bytes, with nothing kept and no network. Prints one
number. Runs as a process of its own, on the server's core.
"""

from __future__ import annotations

import gc
import sys
import time
from pathlib import Path

from era_ap.offline import load
from era_ap.provisioning.provisioner import Filling, Provisioner
from era_ap.provisioning.request import FileRequest, Transport


def rate(provisioner: Provisioner, names: list[str]) -> float:
    """Files per second of CPU time."""
    clock = time.monotonic
    start = time.process_time()
    for name in names:
        filling = provisioner.answer(FileRequest(name, "127.0.0.1", Transport.TFTP, "127.0.0.1"), clock())
        assert isinstance(filling, Filling), filling
        provisioner.fill(filling, filling.render(clock, 0.5), clock())
    return len(names) / (time.process_time() - start)


def main(config: Path) -> None:
    provisioner = load(config, "ap1", lambda *_: None).provisioner
    assert provisioner.directory is not None
    names = [f"{mac}.cfg" for mac in provisioner.directory.macs]
    gc.freeze()
    print(rate(provisioner, names))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
