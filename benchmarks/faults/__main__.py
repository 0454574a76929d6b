"""What blindsr does under faults, a figure a line: ``python benchmarks/faults [PART...]``; docs/reliability.md keeps the figures.

The parts are kills, signals, disk, dask, workers, corpus, hypothesis and size; all of them take an hour and a quarter on two cores.
Linux only: processes are looked up in /proc, and `disk` compiles a small library.
"""

import sys
import tempfile
import time
from pathlib import Path

import clusters
import disk
import hostile
import kills
import size
import workers

PARTS = {
    "kills": kills.figures,
    "signals": kills.signal_figures,
    "disk": disk.figures,
    "dask": clusters.figures,
    "workers": workers.figures,
    "corpus": hostile.corpus_figures,
    "hypothesis": hostile.hypothesis_figures,
    "size": size.figures,
}


def main(chosen: list[str]) -> None:
    unknown = set(chosen) - set(PARTS)
    if unknown:
        sys.exit(f"no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    for name in chosen or PARTS:
        start = time.perf_counter()
        with tempfile.TemporaryDirectory(prefix="blindsr-faults-") as folder:
            for figure in PARTS[name](Path(folder)):
                print(f"{name}: {figure}", flush=True)
        print(f"{name}: done in {time.perf_counter() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
