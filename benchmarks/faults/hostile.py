"""The corpus of broken images, each in a run of its own; and many examples of what nobody meant well."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import bench
import corpus

EXAMPLES = 2500
"""Of each of the five properties in tests/cli/test_hostile.py."""
PIPELINE = """\
name: corpus
scale: 2
data: {lr: x}
methods:
  Michaeli and Irani: {type: 3, kernel: michaeli_irani, sr: bicubic}
"""


def corpus_figures(folder: Path) -> Iterator[str]:
    (folder / "corpus.yaml").write_text(PIPELINE)
    files = corpus.write(folder / "images")

    def run(number: int) -> tuple[bench.Ended, list[str]]:
        place = folder / str(number)
        place.mkdir()
        path = files[number][0]
        command = bench.blindsr("run", folder / "corpus.yaml", "--workers", "0", "--device", "cpu", "--out", place / "out")
        ended = bench.ended([*command, f"--lr={path}"], place, limit=60)
        return ended, re.findall(r"^(?:failed|error): .*", ended.text, re.MULTILINE)

    with ThreadPoolExecutor(2) as pool:
        runs = list(pool.map(run, range(len(files))))
    worked = sum(ended.code == 0 and not lines for ended, lines in runs)
    refused = sum(ended.code in (1, 2) and len(lines) == 1 for ended, lines in runs)
    for (path, _), (ended, lines) in zip(files, runs, strict=True):
        if not (ended.code == 0 and not lines) and not (ended.code in (1, 2) and len(lines) == 1):
            print(f"  {path.name!r}: exit code {ended.code}, {len(lines)} lines: {ended.text[-500:]}", file=sys.stderr)
    traces = sum("Traceback" in ended.text for ended, _ in runs)
    hangs = sum(ended.code == -9 for ended, _ in runs)
    memory, seconds = max(ended.peak_mb for ended, _ in runs), max(ended.seconds for ended, _ in runs)
    yield (
        f"{len(files)} files: {worked} work, {refused} get one line, {len(files) - worked - refused} anything else; "
        f"{traces} tracebacks, {hangs} hangs, peak memory {memory:.0f} MB, longest {seconds:.1f} s"
    )


def hypothesis_figures(folder: Path) -> Iterator[str]:
    environment = {**bench.ENVIRONMENT, "BLINDSR_EXAMPLES": str(EXAMPLES)}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(bench.TESTS / "cli" / "test_hostile.py")]
    ended = subprocess.run(command, cwd=bench.TESTS.parent, env=environment, capture_output=True, text=True, check=False)
    yield f"{EXAMPLES} examples of each of 5 properties: {ended.stdout.strip().splitlines()[-1]}"
