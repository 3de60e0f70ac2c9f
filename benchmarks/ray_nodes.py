"""Two nodes of Ray on this machine, of which one is killed in the middle: is anything lost?

    python benchmarks/ray_nodes.py RUN DATA SCRATCH

Starts a head and a second node with a processor each, explains DATA by two workers, kills the second node with all its
processes once a quarter of the blocks is written, and lets the command go on. Then the store is verified and compared,
number by number, with that of one process.
"""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import kills
import psutil

from shapsight.store.verify import verify

HOW = ["--method", "deep", "--outputs", "all", "--device", "cpu"]
QUIET = ["--disable-usage-stats", "--num-cpus=1", f"--object-store-memory={200 << 20}", "--block"]


def started(log: Path, *arguments: str) -> psutil.Popen:
    ray = str(Path(sys.executable).with_name("ray"))
    return psutil.Popen([ray, "start", *arguments, *QUIET], stdout=log.open("w"), stderr=subprocess.STDOUT)


def wait_for(node: psutil.Popen, log: Path) -> None:
    while "Ray runtime started" not in log.read_text():
        if node.poll() is not None:
            raise RuntimeError(log.read_text()[-600:])
        time.sleep(0.5)


def killed(node: psutil.Popen) -> int:
    """Kill a node with all that it started; how many processes these were."""
    below = [node, *node.children(recursive=True)]
    for each in below:
        each.kill()
    return len(below)


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def explain(run: Path, data: Path, store: Path, *more: str) -> list[str]:
    return [
        sys.executable,
        "-m",
        "shapsight",
        "explain",
        str(run),
        str(data),
        *HOW,
        "--store",
        str(store),
        *more,
    ]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in ("run", "data", "scratch"):
        parser.add_argument(name, type=Path)
    given = parser.parse_args()
    one, other = given.scratch / "one.zarr", given.scratch / "nodes.zarr"
    began = time.monotonic()
    subprocess.run(explain(given.run, given.data, one), check=True, stdout=subprocess.DEVNULL)
    print(f"one process: {time.monotonic() - began:.0f} s with starting", flush=True)
    blocks = len(list(one.glob("table/rows/*.parquet")))
    port = free_port()
    head = started(given.scratch / "head.log", "--head", f"--port={port}", "--include-dashboard=false")
    address = f"{socket.gethostbyname(socket.gethostname())}:{port}"
    second = None
    try:
        wait_for(head, given.scratch / "head.log")
        second = started(given.scratch / "second.log", f"--address={address}")
        wait_for(second, given.scratch / "second.log")
        began = time.monotonic()
        command = subprocess.Popen(explain(given.run, given.data, other, "--ray", address, "--workers", "2"))
        while command.poll() is None and len(list(other.glob("table/rows/*.parquet"))) < blocks / 4:
            time.sleep(0.05)
        there = len(list(other.glob("table/rows/*.parquet")))
        print(f"{there} of {blocks} blocks: killed {killed(second)} processes of the second node", flush=True)
        code = command.wait()
        print(f"the command ended with {code} after {time.monotonic() - began:.0f} s", flush=True)
    finally:
        for node in (head, second):
            if node is not None and node.is_running():
                killed(node)
    print(f"verify: {'whole' if verify(other).is_whole else 'damaged'}")
    found = kills.Found()
    kills._compare_stores(one, other, found)
    print("compared with one process:", dict(Counter(found.wrong)) or "equal to the bit", *found.said)
    return int(bool(code) or bool(found.wrong))


if __name__ == "__main__":
    os.environ |= {
        "OMP_NUM_THREADS": "1",
        "RAY_AUTH_MODE": "disabled",
    }  # nothing outside this machine takes part
    sys.exit(main())
