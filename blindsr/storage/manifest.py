"""The list beside each result: which pipeline, images and steps its folder is of, so that none takes another's."""

from __future__ import annotations

import contextlib
import json
import re
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from blindsr.errors import BlindSRError
from blindsr.imaging.files import file_name, write_whole
from blindsr.pipeline.plan import Plan
from blindsr.storage.result import open_result

FILE = "steps.json"
KEY = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Contents:
    """What a result's folder is of.

    Attributes
    ----------
    pipeline
        Its name.
    items
        Where each item's image lies, and its SHA-256.
    seeds
        Of the rows.
    steps
        The keys of all steps, done or not.
    """

    pipeline: str
    items: dict[str, list[str]]
    seeds: list[int]
    steps: list[str]

    @classmethod
    def of(cls, plan: Plan) -> Contents:
        """What the result of a plan is of."""
        items = {planned.item.id: [str(planned.source.path.resolve()), planned.source.sha256] for planned in plan.items}
        return cls(plan.pipeline.name, items, list(plan.pipeline.seeds), list(plan.steps))

    @classmethod
    def read(cls, folder: Path) -> Contents:
        """What a folder says that it is of.

        Raises
        ------
        BlindSRError
            If it does not say so.
        """
        try:
            found = cls(**json.loads((folder / FILE).read_bytes()))
            sound = (
                isinstance(found.pipeline, str)
                and isinstance(found.items, dict)
                and all(_texts(image) and len(image) == 2 for image in found.items.values())
                and isinstance(found.seeds, list)
                and all(type(seed) is int for seed in found.seeds)
                and _texts(found.steps)
                and found.steps
                and all(map(KEY.fullmatch, found.steps))
            )
        except (OSError, ValueError, TypeError, RecursionError):
            sound = False
        if not sound:
            raise BlindSRError(
                f"{folder / FILE}: cannot be read, so nobody knows which steps this result needs; run its pipeline again, or "
                "remove the folder"
            )
        return found

    @classmethod
    def guess(cls, folder: Path) -> Contents | None:
        """The same; or as much of it as the result in the folder knows, if there is one."""
        with contextlib.suppress(BlindSRError):  # the list is lost, or of another version
            return cls.read(folder)
        try:
            with open_result(folder) as result:
                seeds = sorted({int(seed) for seed in result.columns["seed"]})
                return cls(result.pipeline, {item: list(result.source(item)) for item in result.items}, seeds, [])
        except BlindSRError:
            return None

    def write(self, folder: Path) -> None:
        """Keep it in the folder."""
        write_whole(folder / FILE, lambda part: part.write_text(json.dumps(asdict(self))))

    def goes_with(self, other: Contents) -> bool:
        """Whether both have room in one folder: they are of one pipeline and one set of images."""
        shared = self.items.keys() & other.items.keys()
        # An image that was edited is the same one, and so is one that was moved.
        same = all(set(self.items[item]) & set(other.items[item]) for item in shared)
        return self.pipeline == other.pipeline and same and bool(shared or self._folders() & other._folders())

    def joined(self, before: Contents) -> Contents:
        """Both, so that a part gives up nothing of the other parts; but what has all images and seeds takes their place."""
        if before.items.keys() <= self.items.keys() and set(before.seeds) <= set(self.seeds):
            return self
        return replace(
            self,
            items=before.items | self.items,
            seeds=list(dict.fromkeys(before.seeds + self.seeds)),
            steps=list(dict.fromkeys(before.steps + self.steps)),
        )

    def _folders(self) -> set[Path]:
        return {Path(path).parent for path, _ in self.items.values()}


def take_folder(out: Path, plan: Plan) -> tuple[Path, Contents]:
    """The folder of a plan's result, and what is in it from now on; that is on the disk before the first step is done.

    It is ``NAME-DATA-xSCALE``; with a number after it where that one is of another pipeline, or another set of images.
    """
    contents = Contents.of(plan)
    name = f"{plan.pipeline.name}-{plan.dataset.name}-x{plan.pipeline.scale}"
    most = 2 + sum(1 for _ in out.iterdir())
    folders = [out / file_name(name, f"-{number}" if number > 1 else "") for number in range(1, most)]
    known = {folder: before for folder in folders if (before := Contents.guess(folder))}
    folder = next((folder for folder, before in known.items() if contents.goes_with(before)), None)
    if folder:
        contents = contents.joined(known[folder])
    else:
        folder = next(folder for folder in folders if folder not in known)
    contents.write(folder)
    return folder, contents


def _texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(text, str) for text in value)
