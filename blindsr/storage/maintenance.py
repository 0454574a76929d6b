"""Maintenance of an output folder: find damaged files, and files that no result needs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from blindsr.errors import BlindSRError
from blindsr.imaging.writer import verify_png
from blindsr.storage.hdf5 import opened, reason, verify
from blindsr.storage.kernel_pool import POOL_FILE, read_pool_file
from blindsr.storage.output_folder import OutputFolder, ResultFolder
from blindsr.storage.result import open_result
from blindsr.storage.step_store import read_step

STEP_FILE = re.compile(r"[0-9a-f]{64}\.h5(\.part|\.corrupt)?")


def leftovers(output: OutputFolder) -> list[Path]:
    """What no result in the folder needs: steps of no result, files set aside as damaged, and files of killed runs.

    Call it while the folder is locked. Every result counts whose folder is there, finished or not. It refuses a folder without
    results of blindsr, and one with an unreadable manifest: nothing is then known to be superfluous.
    """
    results = output.result_folders()
    steps = [path for path in output.steps.folder.glob("*") if STEP_FILE.fullmatch(path.name) and path.is_file()]
    if not steps and not results:
        raise BlindSRError(f"{output.path}: holds no results of blindsr")
    needed = {f"{key}.h5" for folder in results for key in folder.manifest().steps}
    written = [output.hashes_file, output.timings_file, *(file for r in results for file in (r.result_file, r.manifest_file))]
    parts = [path.with_name(f"{path.name}.part") for path in written]
    parts += [path for folder in results for path in folder.images.rglob("*.png.part")]
    return sorted([path for path in steps if path.name not in needed] + [path for path in parts if path.is_file()])


def check_files(path: Path) -> Iterator[tuple[Path, str]]:
    """Read every step, result and image in an output folder, in a result's folder, or one file; nothing is changed.

    Each file comes with what is wrong with it, an empty text where it is sound.
    """
    output, result, pool = OutputFolder(path), ResultFolder(path), path / POOL_FILE
    results = [result] if result.result_file.is_file() else [ResultFolder(folder) for folder in sorted(path.glob("*/"))]
    files = [path, pool, *sorted(output.steps.folder.glob("*.h5")), *(folder.result_file for folder in results)]
    files += [image for folder in results for image in sorted(folder.images.rglob("*.png"))]
    files = [file for file in files if file.is_file()]
    if not files:
        raise BlindSRError(f"{path}: no such file, nor a folder with results of blindsr")
    for file in files:
        yield file, _problem(file)


def _problem(file: Path) -> str:
    try:
        if STEP_FILE.fullmatch(file.name):
            with opened(file, "blindsr-step") as opened_file:
                verify(opened_file)
            read_step(file, file.stem)
        elif file.suffix == ".png":
            verify_png(file)
        elif file.name == POOL_FILE:
            read_pool_file(file)
        else:
            with open_result(file) as result:
                verify(result.file)
                result.verify()
    except Exception as error:  # h5py raises exceptions of many types for damaged files
        return reason(error).removeprefix(f"{file}: ")
    return ""
