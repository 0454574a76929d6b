"""The published numbers, compared with the table that they were taken from."""

import re
from pathlib import Path

import pytest

from blindsr.components.registry import Registry
from blindsr.errors import BlindSRError
from blindsr.pipeline.loader import bundled, load
from blindsr.pipeline.published import PublishedRow, published_table, published_tables, row_keys
from pipelines import QUICK, read

TABLE_1 = [
    "bicubic",
    "bicubic_zssr",
    "edsr_plus",
    "rcan_plus",
    "pdn_track4",
    "wdsr_track2",
    "wdsr_track3",
    "wdsr_track4",
    "michaeli_irani_srmd",
    "michaeli_irani_zssr",
    "kernelgan_srmd",
    "kernelgan_zssr",
    "ground_truth_srmd",
    "ground_truth_zssr",
]


def _scores(row: PublishedRow) -> dict[int, tuple[float, float]]:
    return {scale: (scores["psnr"], scores["ssim"]) for scale, scores in row.scores.items()}


def _numbers(text: str) -> tuple[float, float] | None:
    found = re.findall(r"\d+\.\d+", text)
    return (float(found[0]), float(found[1])) if found else None


def test_table_1_of_the_paper(shared: Path) -> None:
    section = (shared / "METHODS.md").read_text().split("## 9.")[1]
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line.startswith("|")]
    expected = [
        (int(kind), method, {scale: numbers for scale, text in ((2, x2), (4, x4)) if (numbers := _numbers(text))})
        for kind, method, x2, x4 in lines[2:]
    ]
    assert len(expected) == 14
    assert [(row.type, row.method, _scores(row)) for row in published_table("paper").rows] == expected
    assert published_table("paper").runs == 5


def test_later_methods(shared: Path) -> None:
    text = (shared / "METHODS.md").read_text().split("Later methods on DIV2KRK:")[1].split("Paper's run time")[0]
    rows = {row.method: _scores(row) for name, table in published_tables().items() if name != "paper" for row in table.rows}
    found = {}
    for part in text.replace("\n", " ").rstrip(". ").split(";"):
        method = part.split()[0]
        numbers = re.findall(r"([\d.]+)/([\d.]+)", part)
        found[method] = {scale: (float(a), float(b.rstrip("."))) for scale, (a, b) in zip((2, 4), numbers, strict=False)}
    assert rows == found


def test_the_keys() -> None:
    assert [row.key for row in published_table("paper").rows] == TABLE_1
    assert len(set(row_keys())) == len(row_keys())
    assert {table.data for table in published_tables().values()} == {"DIV2KRK"}


def test_an_unknown_table_is_an_error_that_lists_them() -> None:
    with pytest.raises(BlindSRError, match="no published table 'srcnn'; there are paper, dualsr, dan, dcls, pl_idenet"):
        published_table("srcnn")
    with pytest.raises(BlindSRError, match="did you mean 'paper'?"):
        published_table("papers")


def test_an_unknown_row_in_a_pipeline_is_an_error_with_its_place(tmp_path: Path) -> None:
    text = QUICK.replace("{type: 1, sr: bicubic}", "{type: 1, sr: bicubic, published: bicubik}")
    with pytest.raises(BlindSRError) as error:
        read(tmp_path, text)
    assert error.value.lines == (
        f"{tmp_path / 'quick.yaml'}:6:60: methods.Bicubic interpolation.published: no published row 'bicubik'; did you mean 'bicubic'?",
    )
    with pytest.raises(BlindSRError, match="no published row 'q'; there are bicubic, bicubic_zssr, .*danv2"):
        read(tmp_path, text.replace("bicubik", "q"))
    assert read(tmp_path, text.replace("bicubik", "danv2")).methods[0].published == "danv2"


def test_bundled_pipelines_answer_to_rows_of_their_own_type() -> None:
    types = {row.key: row.type for row in published_table("paper").rows}
    methods = [method for path in bundled().values() for method in load(path, Registry.discover()).methods if method.published]
    assert methods
    assert all(types[method.published] == method.type for method in methods)
