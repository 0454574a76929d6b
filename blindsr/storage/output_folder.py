"""The output folder: the one place that knows where everything in it lies."""

from __future__ import annotations

import contextlib
import os
import platform
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from blindsr.errors import BlindSRError, printable
from blindsr.imaging.files import explained, file_name
from blindsr.pipeline.hashes import Hashes
from blindsr.pipeline.plan import Plan
from blindsr.storage.manifest import Manifest
from blindsr.storage.result import RESULT_FILE
from blindsr.storage.step_store import StepStore
from blindsr.storage.timings import Timings


@dataclass(frozen=True)
class ResultFolder:
    """The folder of one result: ``result.h5``, ``images/`` of PNG files, and the manifest ``steps.json``."""

    path: Path

    @property
    def result_file(self) -> Path:
        return self.path / RESULT_FILE

    @property
    def images(self) -> Path:
        return self.path / "images"

    @property
    def manifest_file(self) -> Path:
        return self.path / "steps.json"

    @property
    def is_used(self) -> bool:
        """Whether there is a result, or a run that began one."""
        return self.manifest_file.is_file() or self.result_file.is_file()

    def manifest(self) -> Manifest:
        """What the folder is of; an error where that cannot be read."""
        return Manifest.read(self.manifest_file)


class OutputFolder:
    """A folder such as ``runs``: results, the steps that they share, and what is remembered between runs.

    Nothing is made on disk before `locked` or `claim`.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.steps = StepStore(self.path / "steps")
        self.hashes_file = self.path / "hashes.json"
        self.timings_file = self.path / "timings.json"

    def result_folders(self) -> list[ResultFolder]:
        """The folders of results, finished or not."""
        folders = map(ResultFolder, sorted(self.path.iterdir())) if self.path.is_dir() else ()
        return [folder for folder in folders if folder.is_used]

    def hashes(self) -> Hashes:
        return Hashes(self.hashes_file)

    def timings(self) -> Timings:
        return Timings(self.timings_file)

    def claim(self, plan: Plan, name: str | None = None) -> ResultFolder:
        """The folder of a plan's result, by default ``PIPELINE-DATA-xSCALE``; another pipeline's or other images' is refused.

        Runs on parts of one set of images (some items, some seeds) share a folder: the manifest on disk then has the steps of all.
        """
        if name is not None and (name in ("", ".", "..", self.steps.folder.name) or Path(name).name != name):
            raise BlindSRError(f"`name` '{name}' cannot be the name of a folder of results; use letters and digits, no slashes")
        folder = ResultFolder(self.path / file_name(name or f"{plan.pipeline.name}-{plan.dataset.name}-x{plan.pipeline.scale}"))
        manifest = Manifest.of(plan)
        if folder.is_used:
            before = folder.manifest()
            if not manifest.same_set(before):
                raise BlindSRError(
                    f"{folder.path}: holds results of {before.describe()}; this run is of {manifest.describe()}. "
                    "Choose another `name` for its results, or remove that folder"
                )
            manifest = manifest.joined(before)
        manifest.write(folder.manifest_file)
        return folder

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other runs out of the folder, which is made if need be; an error says which run holds the lock.

        The operating system releases the lock when its process ends, however it ends, so no lock is ever stale.
        """
        import filelock

        holder = self.path / ".lock-holder"
        with explained(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            lock = filelock.FileLock(self.path / ".lock")
            try:
                lock.acquire(timeout=0)
            except filelock.Timeout:
                who = "an unknown process"
                with contextlib.suppress(OSError):
                    who = printable(holder.read_text(errors="replace")) or who
                remedy = "wait for it, or choose another output folder"
                raise BlindSRError(f"{self.path}: another run is using this folder ({who}); {remedy}") from None
            holder.write_text(f"process {os.getpid()} on {platform.node()}, since {time.strftime('%Y-%m-%d %H:%M:%S')}")
        try:
            yield
        finally:
            with contextlib.suppress(OSError):  # only for information, and the lock itself is released next
                holder.unlink()
            lock.release()
