"""The comparison table: means, merging, marks, formats, and published numbers beside measured ones."""

import csv
import io
import json
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import h5py
import numpy as np
import pytest
from click.testing import CliRunner
from click.testing import Result as Outcome

from blindsr.cli import cli
from blindsr.imaging.metrics import METRICS
from blindsr.imaging.writer import write_png
from blindsr.pipeline.plan import make_plan
from blindsr.pipeline.published import published_table, published_tables, row_keys
from blindsr.report.formats import FORMATS
from blindsr.report.layout import Comparison
from blindsr.report.summary import MethodSummary, columns_named, summarise
from blindsr.storage.result import open_result
from pipelines import QUICK, read, run

OLD = Path(__file__).parents[1] / "data" / "result-0.1.0.h5"
THREE = """\
name: quick
scale: 2
data: {hr: hr}
degradation: random_kernel
methods:
  Ground truth: {type: 4, kernel: ground_truth, sr: bicubic, published: ground_truth_zssr}
  Bicubic: {type: 1, sr: bicubic, published: bicubic}
  A: {type: 3, sr: bicubic, published: kernelgan_zssr}
  B: {type: 3, sr: bicubic}
"""
Numbers = Mapping[str, Sequence[float]]


@pytest.fixture
def folder(tmp_path: Path, photo: np.ndarray) -> Path:
    (tmp_path / "hr").mkdir()
    for number, name in enumerate(("a", "b")):
        write_png(tmp_path / "hr" / f"{name}.png", photo[20 : 20 + 48, 100 * number : 100 * number + 48])
    return tmp_path


def _result(folder: Path, text: str = THREE, *, out: str = "runs", psnr: Numbers | None = None, **more: Numbers) -> Path:
    """A result as a run writes it; for some methods, the numbers of its summary are replaced, in the order of items and seeds."""
    plan = make_plan(pipeline := read(folder, text), pipeline.dataset())
    report = run(plan, folder / out)
    with h5py.File(report.result, "r+") as file:
        methods = file["summary/method"].asstr()[()]
        for name, numbers in {"psnr": psnr or {}, **more}.items():
            values = file["summary"][name][()]
            for method, given in numbers.items():
                values[methods == method] = given
            file["summary"][name][...] = values
    return report.result


def _summaries(*paths: Path, **options: bool) -> list[MethodSummary]:
    return summarise(paths, **options)


def _markdown(*paths: Path, columns: str = "psnr") -> list[str]:
    """The rows of a table in Markdown, without the headings."""
    text = to_text(Comparison(_summaries(*paths), columns_named(columns)), "markdown")
    return [line for line in text.splitlines() if line.startswith("|")][2:]


def to_text(comparison: Comparison, form: str) -> str:
    return FORMATS[form](comparison)


def _table(*arguments: object) -> Outcome:
    return CliRunner().invoke(cli, ["table", *map(str, arguments)])


def test_mean_and_standard_deviation_over_seeds(folder: Path) -> None:
    # Items a and b, seeds 0, 1, 2. By hand: the seeds' means are 30, 31 and 35; their mean is 32, and the deviations -2, -1, 3
    # give sqrt((4 + 1 + 9) / 2) = sqrt(7).
    numbers = {"A": [28.0, 30.0, 34.0, 32.0, 32.0, 36.0], "B": [30.0] * 3 + [31.0] * 3, "Bicubic": [33.0] * 6}
    path = _result(folder, THREE.replace("scale: 2", "scale: 2\nseeds: [0, 1, 2]"), psnr=numbers)
    with open_result(path) as result:
        assert [tuple(row) for row in zip(result.columns["item"], result.columns["seed"], strict=True)][::4][:2] == [
            ("a", 0),
            ("a", 1),
        ]
    a, b = (line.means["psnr"] for line in _summaries(path)[2:])
    assert a.mean == pytest.approx(32)
    assert a.spread == pytest.approx(7**0.5)
    assert b.mean == pytest.approx(30.5)
    assert np.isnan(b.spread)
    assert "| 3 | A | <u>32.00 ± 2.65</u> |" in _markdown(path)
    assert to_text(Comparison(_summaries(path)), "markdown").startswith("**hr x2, 2 images, 3 seeds**")


def test_rows_by_type_with_the_best_bold_and_the_second_best_underlined(folder: Path) -> None:
    psnr = {"Ground truth": [40.0, 40.0], "Bicubic": [20.0, 22.0], "A": [25.0, 26.0], "B": [24.0, 26.0]}
    ssim = {"Ground truth": [0.9, 0.9], "Bicubic": [0.8, 0.8], "A": [0.6, 0.6], "B": [0.7, 0.7]}
    path = _result(folder, psnr=psnr, ssim=ssim)
    assert _markdown(path, columns="psnr,ssim") == [
        "| 1 | Bicubic | 21.00 / **0.8000** |",
        "| 3 | A | **25.50** / 0.6000 |",
        "| 3 | B | <u>25.00</u> / <u>0.7000</u> |",
        "| 4 | Ground truth | 40.00 / 0.9000 |",  # an upper bound, which is not ranked
    ]
    latex = to_text(Comparison(_summaries(path)), "latex")
    assert r"3 & A & \textbf{25.50} / 0.6000 \\" in latex
    assert r"3 & B & \underline{25.00} / \underline{0.7000} \\" in latex
    terminal = to_text(Comparison(_summaries(path)), "terminal")
    assert "\x1b[1m25.50\x1b[0m / 0.6000" in terminal
    assert "\x1b[4m25.00\x1b[0m / \x1b[4m0.7000\x1b[0m" in terminal
    assert "\x1b" not in _table(path).stdout


def test_ties_at_the_displayed_precision_are_both_marked(folder: Path) -> None:
    path = _result(folder, psnr={"Bicubic": [21.0, 21.0], "A": [25.001, 25.001], "B": [24.999, 24.999]})
    assert _markdown(path)[:3] == ["| 1 | Bicubic | <u>21.00</u> |", "| 3 | A | **25.00** |", "| 3 | B | **25.00** |"]


def test_of_kernel_errors_less_is_better_and_seconds_are_not_ranked(folder: Path) -> None:
    path = _result(
        folder,
        kernel_l2={"Bicubic": [2.0, 2.0], "A": [0.5, 0.5], "B": [1.0, 1.0]},
        kernel_correlation={"Bicubic": [0.1, 0.1], "A": [0.5, 0.5], "B": [0.9, 0.9]},
        seconds_estimate={"A": [3.0, 3.0], "B": [9.0, 9.0]},
    )
    assert _markdown(path, columns="kernel_l2,kernel_correlation,seconds_estimate")[1:3] == [
        "| 3 | A | **0.500** | <u>0.500</u> | 3.0 |",
        "| 3 | B | <u>1.000</u> | **0.900** | 9.0 |",
    ]


def test_an_infinite_psnr_is_best_and_a_lone_competitor_is_not_marked(folder: Path) -> None:
    inf = float("inf")
    assert _markdown(_result(folder, psnr={"A": [inf, 30.0], "B": [29.0, 29.0]}))[1] == "| 3 | A | **inf** |"
    assert "**" not in "".join(_markdown(_result(folder, QUICK)))


def test_scales_become_columns_and_what_is_missing_a_dash(folder: Path) -> None:
    x2 = _result(folder, psnr={"A": [25.0, 26.0], "Bicubic": [9.0, 9.0], "B": [8.0, 8.0]})
    x4 = _result(
        folder,
        THREE.replace("scale: 2", "scale: 4").replace("  B: {type: 3, sr: bicubic}\n", ""),
        psnr={"A": [22.0, 22.0], "Bicubic": [9.0, 9.0]},
    )
    for paths in ((x2, x4), (x4, x2)):
        text = to_text(Comparison(_summaries(*paths)), "markdown")
        assert text.splitlines()[:3] == ["**hr, 2 images**", "", "| type | method | x2 PSNR (dB) / SSIM | x4 PSNR (dB) / SSIM |"]
        assert [row.split("|")[2].strip() for row in _markdown(*paths)] == ["Bicubic", "A", "B", "Ground truth"]
    assert _markdown(x2, x4)[1] == "| 3 | A | **25.50** | **22.00** |"
    assert _markdown(x2, x4)[2] == "| 3 | B | 8.00 | – |"
    rows = list(csv.DictReader(io.StringIO(to_text(Comparison(_summaries(x2, x4)), "csv"))))
    assert [(row["scale"], row["method"]) for row in rows][2:6] == [("2", "A"), ("2", "B"), ("4", "Ground truth"), ("4", "Bicubic")]
    assert float(rows[2]["psnr"]) == 25.5


def test_sets_of_images_have_a_table_each(folder: Path) -> None:
    shutil.copytree(folder / "hr", folder / "other")
    paths = _result(folder), _result(folder, THREE.replace("hr: hr", "hr: other"))
    text = to_text(Comparison(_summaries(*paths)), "markdown")
    assert [line for line in text.splitlines() if line.startswith("**")] == ["**hr x2, 2 images**", "**other x2, 2 images**"]


def test_the_same_place_in_two_files_is_two_rows_and_never_a_mean(folder: Path) -> None:
    first = _result(folder, psnr={"A": [20.0, 20.0]})
    second = _result(folder, out="again", psnr={"A": [30.0, 30.0]})
    third = _result(folder, THREE.replace("quick", "mine"), psnr={"A": [40.0, 40.0]})
    fourth = _result(folder, THREE.replace("scale: 2", "scale: 4"), out="again", psnr={"A": [10.0, 10.0]})
    assert sum("| A |" in row for row in _markdown(first, first)) == 1
    rows = [row.replace("\\", "") for row in _markdown(first, second, third, fourth) if "| A" in row]
    assert [row.split("|")[2].strip() for row in rows] == [
        f"A [quick, {folder}/runs]",
        f"A [quick, {folder}/again]",
        "A [mine]",
    ]
    assert [[cell.strip("*<>/u ") for cell in row.split("|")[3:5]] for row in rows] == [
        ["20.00", "–"],
        ["30.00", "10.00"],
        ["40.00", "–"],
    ]


def test_incomplete_rows_say_so_and_do_not_compete(folder: Path) -> None:
    path = _result(
        folder, psnr={"A": [90.0, np.nan], "Bicubic": [20.0, 20.0], "B": [21.0, 21.0]}, seconds_upscale={"A": [1.0, np.nan]}
    )
    assert _markdown(path)[:3] == ["| 1 | Bicubic | <u>20.00</u> |", "| 3 | A | 90.00 (1 of 2) |", "| 3 | B | **21.00** |"]


@pytest.mark.parametrize(
    "spoil", [lambda path: write_png(path, np.zeros((8, 8, 3), np.uint8)), lambda path: path.write_bytes(b"?")]
)
def test_an_image_that_is_broken_or_too_small_for_ssim_is_missing(folder: Path, spoil: Callable[[Path], None]) -> None:
    spoil(folder / "hr" / "b.png")
    assert [row.count(" (1 of 2)") for row in _markdown(_result(folder))] == [1, 1, 1, 1]


@pytest.mark.parametrize("change", ["image", "degradation"])
@pytest.mark.parametrize("options", [(), ("--per-item",)])
def test_images_of_one_name_that_differ_are_not_ranked_and_said(
    folder: Path, photo: np.ndarray, change: str, options: tuple[str, ...]
) -> None:
    first = _result(folder)
    text = THREE.replace("quick", "second")
    if change == "image":
        write_png(folder / "hr" / "b.png", photo[120:168, :48])
    else:
        text = text.replace("random_kernel", "{random_kernel: {max_variance: 3}}")
    second = _result(folder, text)
    result = _table(first, second, "--format", "markdown", *options)
    assert "not all over the same images" in result.stdout
    assert "best and second best are not marked" in result.stdout
    changed = "b" if change == "image" else "a, b"
    assert f"in {second} than in {first}: {changed}" in result.stdout.replace("\\", "")
    marked = [line for line in result.stdout.splitlines() if line.startswith("|") and "**" in line]
    assert bool(marked) == (change == "image" and "--per-item" in options)  # image a is still the same
    assert all(line.startswith("| a |") for line in marked)


def test_a_sample_that_was_degraded_otherwise_is_said(tmp_path: Path) -> None:
    text = THREE.replace("{hr: hr}", "{sample: astronaut}")
    results = [_result(tmp_path, text.replace("scale: 2", f"scale: 2\ndata_seed: {seed}"), out=f"runs{seed}") for seed in (0, 7)]
    assert "another image, or made in another way" in _table(*results).stdout


def test_means_over_different_images_are_not_ranked_and_said(folder: Path) -> None:
    first = _result(folder)
    (folder / "hr" / "b.png").unlink()
    second = _result(folder, THREE.replace("quick", "fewer"))
    result = _table(first, second, "--format", "markdown")
    assert "not all over the same images" in result.stdout
    assert "**hr x2**" in result.stdout
    assert "<u>" not in result.stdout


def test_items_have_a_row_each_on_request(folder: Path) -> None:
    path = _result(folder, psnr={"A": [25.0, 20.0], "B": [24.0, 21.0], "Bicubic": [1.0, 1.0]})
    text = to_text(Comparison(_summaries(path, per_item=True), columns_named("psnr")), "markdown")
    for row in (
        "| a | 3 | A | **25.00** |",
        "| a | 3 | B | <u>24.00</u> |",
        "| b | 3 | A | <u>20.00</u> |",
        "| b | 3 | B | **21.00** |",
    ):
        assert row in text


def test_names_are_escaped(folder: Path) -> None:
    name = r"=a|b <i>*x*_1 & 50% #$ {~^} \[z]\e"
    path = _result(folder, QUICK.replace("  Bicubic interpolation: {type: 1,", f"  {json.dumps(name)}: {{"))
    with h5py.File(path, "r+") as file:
        file.attrs["data"] = "evil\n\x1b[31m|x"
    comparison = Comparison(_summaries(path))
    latex = to_text(comparison, "latex")
    escaped = (
        r"=a\textbar{}b \textless{}i\textgreater{}{*}x{*}\_1 \& 50\% \#\$ \{\textasciitilde{}\textasciicircum{}\} "
        r"\textbackslash{}{[}z]\textbackslash{}e & "
    )
    assert escaped in latex
    assert "% evil??[31m|x x2, 2 images\n" in latex
    assert r"| =a\|b &lt;i&gt;\*x\*\_1 & 50% #$ {\~^} \\\[z\]\\e |" in to_text(comparison, "markdown")
    assert "\x1b" not in to_text(comparison, "terminal")
    assert [row["method"] for row in csv.DictReader(io.StringIO(to_text(Comparison(_summaries(path)), "csv")))] == [
        f"'{name}",
        "Ground truth",
    ]


def test_latex_is_a_tabular_of_booktabs(folder: Path) -> None:
    psnr = {"Ground truth": [40.0, 40.0], "Bicubic": [20.0, 22.0], "A": [25.0, 26.0], "B": [24.0, 26.0]}
    path = _result(folder, psnr=psnr)
    assert (
        to_text(Comparison(_summaries(path), columns_named("psnr")), "latex")
        == r"""% needs \usepackage{booktabs}

% hr x2, 2 images
\begin{tabular}{clc}
\toprule
 &  & \multicolumn{1}{c}{$\times$2} \\
\cmidrule(lr){3-3}
type & method & PSNR (dB) \\
\midrule
1 & Bicubic & 21.00 \\
\midrule
3 & A & \textbf{25.50} \\
3 & B & \underline{25.00} \\
\midrule
4 & Ground truth & 40.00 \\
\bottomrule
\end{tabular}"""
    )


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_latex_compiles(folder: Path) -> None:
    path = _result(folder, THREE.replace("  B:", '  "[x] \\\\ & % $ # _ { } ~ ^ < > |":'))
    body = to_text(Comparison(_summaries(path), against=[published_table("paper")]), "latex")
    document = f"\\documentclass{{article}}\\usepackage{{booktabs}}\\begin{{document}}\\begin{{table}}\n{body}\n\\end{{table}}\\end{{document}}"
    (folder / "t.tex").write_text(document)
    subprocess.run(["pdflatex", "-halt-on-error", "t.tex"], cwd=folder, check=True, capture_output=True)
    assert (folder / "t.pdf").is_file()


def test_columns_are_chosen(folder: Path) -> None:
    path = _result(folder)
    head = _table(path, "--columns", "seconds,psnr", "--format", "markdown").stdout.splitlines()[2]
    assert head == "| type | method | kernel (s) | SR (s) | PSNR (dB) |"
    head = _table(path, "--columns", "psnr,ssim,kernel_l2", "--format", "csv").stdout.splitlines()[0]
    assert head == "data,pipeline,scale,item,type,method,done,total,psnr,psnr_std,ssim,ssim_std,kernel_l2,kernel_l2_std,file"
    assert "--columns: no column 'psnrr'; did you mean 'psnr'?" in _table(path, "--columns", "psnrr").stderr
    assert "there are psnr, ssim, kernel_l2," in _table(path, "--columns", "").stderr


def test_published_numbers_stand_beside_measured_ones(folder: Path) -> None:
    psnr = {"Ground truth": [32.0, 32.0], "Bicubic": [20.0, 20.0], "A": [30.0, 31.0], "B": [22.0, 22.0]}
    ssim = {"A": [0.9, 0.8], "B": [0.1, 0.1], "Bicubic": [0.1, 0.1]}
    path = _result(folder, psnr=psnr, ssim=ssim)
    text = _table(path, "--against", "paper", "--format", "markdown").stdout
    assert "| type | method | PSNR (dB) / SSIM | published | difference |" in text
    # The paper's Table 1, x2: KernelGAN + ZSSR 30.363 / 0.8669, EDSR+ 29.172 / 0.8216, RCAN+ 29.198 / 0.8223.
    assert "| 3 | A | **30.50** / **0.8500** | 30.36 / 0.8669 | +0.14 / −0.0169 |" in text
    assert "| 3 | B | <u>22.00</u> / <u>0.1000</u> | – | – |" in text
    assert "| 1 | EDSR+ (published) | – | 29.17 / 0.8216 | – |" in text
    assert "PDN" not in text  # has no x2
    assert text.count("(published)") == 14 - 4 - 3
    assert "KernelGAN (published)" not in text
    assert "NeurIPS 2019, Table 1 (DIV2KRK, 100 images; means of 5 runs" in text
    assert "caution: measured on hr, published for DIV2KRK: other images" in text
    rows = {row["method"]: row for row in csv.DictReader(io.StringIO(_table(path, "--against", "paper", "--format", "csv").stdout))}
    assert rows["A"]["published_psnr"] == "30.363"
    assert float(rows["A"]["difference_psnr"]) == pytest.approx(0.137)
    assert (rows["EDSR+"]["data"], rows["EDSR+"]["psnr"], rows["EDSR+"]["source"]) == ("DIV2KRK", "", "paper")
    assert rows["B"]["published_psnr"] == rows["B"]["published"] == ""


def test_published_numbers_of_later_methods_and_of_a_part_of_the_set(folder: Path) -> None:
    (folder / "hr").rename(folder / "DIV2KRK")
    path = _result(folder, THREE.replace("hr: hr", "hr: DIV2KRK"))
    result = _table(path, "--against", "dan,dcls", "--format", "markdown")
    assert "| – | DANv2 (published) | – | 32.58 / 0.9048 | – |" in result.stdout
    assert "published (dcls): Luo" in result.stdout
    assert "other images" not in result.stdout
    assert "caution: measured on 2 of the 100 images of DIV2KRK" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--against", "papr"], "no published table 'papr'; did you mean 'paper'?"),
        (["--against", "x"], "there are paper, dualsr, dan, dcls, pl_idenet"),
        (["--against", "paper", "--per-item"], "leave out --per-item"),
        (["--against", "paper", "--columns", "seconds"], "add psnr or ssim to --columns"),
    ],
)
def test_what_cannot_be_compared_is_refused(arguments: list[str], message: str) -> None:
    result = _table(OLD, *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


def test_photographs_have_no_psnr(folder: Path) -> None:
    path = _result(folder, THREE.replace("{hr: hr}", "{lr: hr}").replace("degradation: random_kernel\n", ""))
    result = _table(path)
    assert "no PSNR and SSIM: there are no HR images" in result.stdout
    assert "no PSNR" not in _table(path, "--columns", "seconds").stdout


def test_an_old_result_has_its_table() -> None:
    result = _table(OLD, "--columns", "all", "--against", "paper")
    assert result.exit_code == 0, result.output
    assert "Bicubic interpolation" in result.stdout


def _replaced(name: str, values: object) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        del file["summary"][name]
        file["summary"][name] = values

    return change


def _config(text: str) -> Callable[[h5py.File], None]:
    return lambda file: file["provenance"].attrs.__setitem__("resolved_config", text)


@pytest.mark.parametrize(
    "change",
    [
        _replaced("type", np.array([np.nan, 1.0])),
        _replaced("scale", np.array([2.5, 2.0])),
        _replaced("psnr", np.array([1j, 2.0])),
        _replaced("psnr", np.array([1.0])),
        _replaced("seed", np.zeros((2, 2), int)),
        _config("{"),
        _config("[1]"),
        _config("[" * 60000),
        lambda file: file.attrs.create("data", np.bytes_(b"\xff\xfe")),
    ],
)
def test_a_hostile_file_gives_one_line(tmp_path: Path, change: Callable[[h5py.File], None]) -> None:
    path = tmp_path / "result.h5"
    shutil.copy(OLD, path)
    with h5py.File(path, "r+") as file:
        change(file)
    result = _table(path, "--against", "paper")
    assert result.exit_code == 2, result.output
    assert result.stderr.startswith(f"error: {path}: not a readable result file (")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda file: file.pop("provenance"),
        _config('{"methods": [1]}'),
        _config('{"name": 3, "methods": {"Ground truth": 1, "Bicubic interpolation": {"published": [2], "kernel": 7}}}'),
        _config('{"methods": {"Bicubic interpolation": {"published": "gone"}}}'),
        _replaced("scale", np.array([-7, 2**62])),
        _replaced("type", np.array([-7, 2**62])),
    ],
)
def test_odd_files_still_have_a_table(tmp_path: Path, change: Callable[[h5py.File], None]) -> None:
    path = tmp_path / "result.h5"
    shutil.copy(OLD, path)
    with h5py.File(path, "r+") as file:
        change(file)
    for form in FORMATS:
        result = _table(path, "--against", "paper", "--format", form)
        assert result.exit_code == 0, result.output
        assert "Ground truth" in result.stdout


def test_the_guide_and_the_help_name_every_column_and_table() -> None:
    options = _table("--help").stdout
    assert [name for name in (*METRICS, *published_tables()) if name not in options] == []
    guide = (Path(__file__).parents[2] / "docs/guide.md").read_text().split("## Tables")[1]
    names = [*METRICS, *published_tables(), *row_keys()]
    assert [name for name in names if name not in guide] == []


def test_a_run_of_which_every_row_failed_does_not_claim_that_there_are_no_hr_images(folder: Path) -> None:
    for name in ("a", "b"):
        (folder / f"hr/{name}.png").write_bytes(b"?")
    result = _table(_result(folder))
    assert "no PSNR and SSIM: no row is finished" in result.stdout
    assert "there are no HR images" not in result.stdout
