"""Figures of the YAML folder: cold load, re-check without a change, one change, all files changed.

Usage: python tests/benchmarks/yaml_folder.py [accounts]
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from era_ap.directory.index import DirectoryIndex
from era_ap.directory.yaml_files import YamlFiles

DOCUMENT = """\
login: "{login}"
domain: {domain}
password: secret-{number:08x}
name: Desk {number}
opts:
  ap_devices:
    - mac: "{mac:012x}"
      device_model: T46S
      line: 1
      blf:
        - {{number: "100", label: Reception}}
        - {{number: "101", label: Store {generation}}}
        - {{number: "102", label: Door}}
      override:
        account.1.label: Desk {number}
        features.dnd: null
ext:
  department: Sales
  slot: 3
"""


def resident() -> float:
    """Resident memory of this process in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6


def write(root: Path, count: int, generation: int) -> None:
    for number in range(count):
        domain, login = f"d{number % 20}.example.com", str(1000 + number // 20)
        folder = root / domain / "sipusers"
        folder.mkdir(parents=True, exist_ok=True)
        mac = 0x001565000000 + number
        text = DOCUMENT.format(login=login, domain=domain, number=number, mac=mac, generation=generation)
        (folder / f"{login}.yml").write_text(text)


def step(title: str, files: YamlFiles, index: DirectoryIndex) -> None:
    begin = time.perf_counter()
    change = files.scan()
    scanned = time.perf_counter() - begin
    begin = time.perf_counter()
    if change is not None:
        index.apply(change)
    applied = time.perf_counter() - begin
    changed = len(change.accounts) if change else 0
    times = f"scan {scanned:.3f} s, apply {applied * 1e3:.1f} ms"
    print(f"{title}: {times}, {changed} accounts, {resident():.0f} MB")


def main(count: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        write(root, count, 0)
        time.sleep(1)
        index = DirectoryIndex()
        files = YamlFiles(root, settle=0.0)
        print(f"start: {resident():.0f} MB")
        step("cold load", files, index)
        step("no change", files, index)
        step("no change", files, index)
        one = next(root.glob("*/sipusers/1000.yml"))
        one.write_text(one.read_text().replace("Sales", "Support"))
        step("one change", files, index)
        for generation in (1, 2):
            write(root, count, generation)
            step("all changed", files, index)
        print(f"{len(index)} accounts, {len(index.macs)} MACs, {len(index.problems)} problems")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)
