"""The list beside each result: which pipeline, images and steps its folder is of, so that none takes another's."""

from __future__ import annotations

import itertools
import json
import re
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from blindsr.errors import BlindSRError
from blindsr.files import file_name, write_whole
from blindsr.plan import Plan

FILE = "steps.json"
KEY = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Contents:
    """What a result's folder is of.

    Attributes
    ----------
    settings
        All of the pipeline but its data and seeds.
    items
        Where each item's image lies, and its SHA-256.
    seeds
        Of the rows.
    steps
        The keys of all steps, done or not.
    """

    settings: dict[str, Any]
    items: dict[str, list[str]]
    seeds: list[int]
    steps: list[str]

    @classmethod
    def of(cls, plan: Plan) -> Contents:
        """What the result of a plan is of."""
        settings = {name: value for name, value in plan.pipeline.resolved().items() if name not in ("data", "seeds")}
        items = {planned.item.id: [str(planned.source.path.resolve()), planned.source.sha256] for planned in plan.items}
        return cls(json.loads(json.dumps(settings)), items, list(plan.pipeline.seeds), list(plan.steps))

    @classmethod
    def read(cls, folder: Path) -> Contents:
        """What a folder is of.

        Raises
        ------
        BlindSRError
            If it does not say so.
        """
        try:
            known = cls(**json.loads((folder / FILE).read_bytes()))
            sound = (
                isinstance(known.settings, dict)
                and isinstance(known.items, dict)
                and all(isinstance(image, list) and len(image) == 2 for image in known.items.values())
                and isinstance(known.seeds, list)
                and isinstance(known.steps, list)
                and known.steps
                and all(isinstance(key, str) and KEY.fullmatch(key) for key in known.steps)
            )
        except (OSError, ValueError, TypeError, RecursionError):
            sound = False
        if not sound:
            raise BlindSRError(
                f"{folder / FILE}: cannot be read, so nobody knows which steps this result needs; run its pipeline again, or "
                "remove the folder"
            )
        return known

    def write(self, folder: Path) -> None:
        """Keep it in the folder."""
        write_whole(folder / FILE, lambda part: part.write_text(json.dumps(asdict(self))))

    def is_beside(self, other: Contents) -> bool:
        """Whether both have room in one folder: they are of one pipeline's name, and no two images of one name differ."""
        if self.settings.get("name") != other.settings.get("name"):
            return False
        # One that was edited is the same image, and so is one that was moved.
        return all(set(self.items[item]) & set(other.items[item]) for item in self.items.keys() & other.items.keys())

    def joined(self, before: Contents) -> Contents:
        """Both, if they differ in images and seeds only: a part gives up nothing of other parts. What has all takes their place."""
        has_all = before.items.keys() <= self.items.keys() and set(before.seeds) <= set(self.seeds)
        if self.settings != before.settings or has_all:
            return self
        return replace(
            self,
            items=before.items | self.items,
            seeds=list(dict.fromkeys(before.seeds + self.seeds)),
            steps=list(dict.fromkeys(before.steps + self.steps)),
        )


def take_folder(out: Path, plan: Plan) -> tuple[Path, Contents]:
    """The folder of a plan's result, and what is in it from now on; both are on the disk before the first step is done.

    It is ``NAME-DATA-xSCALE``; with a number after it where that one is of another pipeline, or other images of the same names.
    """
    contents = Contents.of(plan)
    name = f"{plan.pipeline.name}-{plan.dataset.name}-x{plan.pipeline.scale}"
    for number in itertools.count(1):
        folder = out / file_name(name, f"-{number}" if number > 1 else "")
        try:
            before = Contents.read(folder)
        except BlindSRError:  # there is none, or it says nothing of use
            break
        if contents.is_beside(before):
            contents = contents.joined(before)
            break
    contents.write(folder)
    return folder, contents
