"""From numbers of clips to means, bars and tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean, stdev
from typing import Any

from .store import Values
from .windows import LARGE_MOTION, Window

SHARE, PSNR, NO_WORSE = 0.80, 25.0, 0.50
"""Aims for in-betweens: share of clips of large motion, dB, and share of all clips no worse than a cross-dissolve."""
REBUILT_PSNR, REBUILT, DECIBEL = 28.0, 0.025, 2.0
"""Aims for true frames encoded and decoded: dB, distance, and dB by which references help."""
LINES, STILL, INK = 0.8, 2.0, 0.15
"""Aims for what a drawing must keep: lines' F1 in each frame, levels of the still background, share of ink."""
F1_GAIN, SECONDS, BYTES = 0.15, 25.0, 2e9
"""Aims for sketches and for cost."""

Summary = dict[str, Any]


@dataclass(frozen=True)
class Bar:
    """Something a model aims at. `value` is None when nothing could be measured; that is not met."""

    name: str
    value: float | None
    expected: str
    met: bool


def in_betweens(windows: Sequence[Window], rows: Sequence[Values]) -> Summary:
    """Means over clips, over those with large motion, and the shares in which ours beats the better baseline."""
    far = [row for window, row in zip(windows, rows, strict=True) if window.moves_far]
    return {
        "clips": len(rows),
        "mean": means(rows),
        "large_motion_clips": len(far),
        "large_motion_mean": means(far),
        "share_better": _share([gain(row) > 0 for row in rows]),
        "share_no_worse_than_dissolve": _share([row["ours"] <= row["dissolve"] for row in rows]),
        "share_better_large_motion": _share([gain(row) > 0 for row in far]),
        "gain": _paired([gain(row) for row in rows]),
    }


def gain(row: Values) -> float:
    """By how much ours is nearer to the truth than the better of the two baselines."""
    return min(row["dissolve"], row["nearest"]) - row["ours"]


def reconstruction(rows: Sequence[Values]) -> Summary:
    gains = {name: [row[f"with_{name}"] - row[f"without_{name}"] for row in rows] for name in ("psnr", "psnr_all")}
    return {
        "clips": len(rows),
        "mean": means(rows),
        "gain_psnr": _paired(gains["psnr"]),
        "gain_psnr_all": _paired(gains["psnr_all"]),
    }


def sketching(rows: Sequence[Values]) -> Summary:
    """Clips whose true middle frame has no lines are counted and left out: a blank page is no sketch."""
    used = [row for row in rows if row["sketch_share"] > 0]
    return {
        "clips": len(used),
        "clips_without_lines": len(rows) - len(used),
        "mean": means(used),
        "gain_f1": _paired([row["with_f1"] - row["without_f1"] for row in used]),
        "share_better_f1": _share([row["with_f1"] > row["without_f1"] for row in used]),
        "loss_beside": _paired([row["with_beside"] - row["without_beside"] for row in used]),
    }


def means(rows: Sequence[Values]) -> Values:
    """The mean of every number; empty when there are no rows."""
    return {name: fmean(row[name] for row in rows) for name in rows[0]} if rows else {}


def _share(outcomes: Sequence[bool]) -> float | None:
    return fmean(outcomes) if outcomes else None


def _paired(differences: Sequence[float]) -> dict[str, float | None]:
    """Mean difference and its standard error."""
    return {
        "mean": fmean(differences) if differences else None,
        "standard_error": standard_error(differences),
    }


def standard_error(values: Sequence[float]) -> float | None:
    """Of their mean; None of fewer than two."""
    return stdev(values) / len(values) ** 0.5 if len(values) > 1 else None


def bars(group: Mapping[str, Any], cost: Mapping[str, float] | None, variants: Mapping[str, Any]) -> list[Bar]:
    """The bars of what was measured."""
    return [*_group_bars(group), *_variant_bars(variants), *_cost_bars(cost)]


def _group_bars(group: Mapping[str, Any]) -> Iterator[Bar]:
    if between := group.get("in_betweens"):
        yield from _between_bars(between)
    if rebuilt := group.get("reconstruction"):
        mean = rebuilt["mean"]
        yield _least("2. true frames through the autoencoder, PSNR, dB", mean.get("with_psnr"), REBUILT_PSNR)
        yield _most("2. their distance", mean.get("with"), REBUILT)
        yield _least("2. their PSNR with references minus without, dB", rebuilt["gain_psnr"]["mean"], DECIBEL)
    if sketch := group.get("sketch"):
        yield _least("3. sketch: middle frame's edge F1 with it minus without", sketch["gain_f1"]["mean"], F1_GAIN)
        yield _most("3. sketch: distance of the frames beside it, with minus without", sketch["loss_beside"]["mean"], 0)


def _between_bars(between: Summary) -> Iterator[Bar]:
    mean = between["mean"]
    name = f"1. clips of large motion in which ours beats the better baseline (of {between['large_motion_clips']})"
    yield _least(name, between["share_better_large_motion"], SHARE)
    yield _least(
        "1. clips in which ours is no worse than a dissolve", between["share_no_worse_than_dissolve"], NO_WORSE
    )
    yield _least("1. in-betweens, PSNR, dB", mean.get("ours_psnr"), PSNR)
    yield _least("1. lines' F1 in the worst frame, 1 px", mean.get("ours_worst_lines"), LINES)
    yield _most("1. still background's shift in the middle frame, levels", mean.get("ours_still"), STILL)
    ink = mean.get("ours_ink")
    within = ink is not None and abs(ink - 1) <= INK
    yield Bar("1. ink of the middle frame, of the keyframes'", ink, f"{1 - INK:g} to {1 + INK:g}", within)


def _least(name: str, value: float | None, bound: float) -> Bar:
    return Bar(name, value, f">= {bound:g}", value is not None and value >= bound)


def _most(name: str, value: float | None, bound: float) -> Bar:
    return Bar(name, value, f"<= {bound:g}", value is not None and value <= bound)


def _variant_bars(variants: Mapping[str, Any]) -> Iterator[Bar]:
    others = [row["mean"]["ours"] for name, row in variants.items() if name != "IV" and row["mean"]]
    if "IV" in variants and others and variants["IV"]["mean"]:
        value = min(others) - variants["IV"]["mean"]["ours"]
        yield Bar("4. the best other variant's mean distance minus IV's", value, "> 0", value > 0)


def _cost_bars(cost: Mapping[str, float] | None) -> Iterator[Bar]:
    if cost:
        yield _most("5. seconds for one interpolation", cost["seconds"], SECONDS)
        yield _most("5. peak memory of its process, GB (10^9 bytes)", cost["peak_bytes"] / 1e9, BYTES / 1e9)


def as_json(bars_: Sequence[Bar]) -> list[dict[str, Any]]:
    return [asdict(bar) for bar in bars_]


def markdown(report: Mapping[str, Any]) -> str:
    """The report for a reader; everything in it is in the JSON too."""
    blocks = [*_head(report)]
    for domain, group in report["groups"].items():
        blocks += _group_tables(domain, group)
        blocks.append(f"Bars, {domain} clips:\n\n" + bar_table(group["bars"]))
    if report["variants"]:
        blocks.append("## Rectification variants\n\n" + _variant_table(report["variants"]))
    if report["variants"] or report["cost"]:
        blocks.append("## All bars\n\n" + bar_table(report["bars"]))
    if cost := report["cost"]:
        blocks.append(
            f"One interpolation of {cost['width']}x{cost['height']}, {cost['frames']} frames, {cost['steps']} steps, "
            f"guidance {cost['guidance_scale']:g}, {cost['threads']} threads: "
            f"{cost['seconds']:.1f} s, peak memory {cost['peak_bytes'] / 1e9:.2f} GB; reading the files "
            f"{cost['load_seconds']:.1f} s, importing {cost['import_seconds']:.1f} s. Load average of the machine "
            f"before: {cost['load_average']:.1f}."
        )
    return "\n\n".join(blocks) + "\n"


def _head(report: Mapping[str, Any]) -> Iterator[str]:
    settings = ", ".join(f"{name} {value}" for name, value in report["settings"].items())
    yield "# Report"
    for what in ("model", "lora"):
        if file := report[what]:
            yield f"{what.capitalize()} {file['file']}, SHA-256 {file['sha256'][:16]}."
    yield f"{report['width']}x{report['height']}, stride {report['stride']}, {settings}, seed {report['seed']}."
    yield (
        f"Distances are perceptual ({report['perceptual']}), means over frames 1 to 14 and then over clips; smaller is "
        f"better. Large motion: 95th percentile of motion of {LARGE_MOTION:g} px or more over 16 frames, as the "
        f"manifest has it. Lines: brightness of {report['line_threshold']:g} or more; tolerance 2 px. +- is the "
        "standard error."
    )


def _group_tables(domain: str, group: Mapping[str, Any]) -> Iterator[str]:
    yield (
        f"## {domain} clips\n\n{group['clips']} held-out clips of {group['sources']} sources; "
        f"{group['skipped']} could not be read and were skipped."
    )
    if between := group.get("in_betweens"):
        yield _between_table(between, group.get("reconstruction"))
        yield _fault_table(between)
    if rebuilt := group.get("reconstruction"):
        names = (("with references", "with"), ("without", "without"))
        rows = [
            [name, *(_number(rebuilt["mean"].get(key + end)) for end in ("_psnr", "_psnr_all", "", "_f1"))]
            for name, key in names
        ]
        yield table(["reconstruction", "PSNR 1-14, dB", "PSNR all, dB", "distance", "edge F1 of frame 7"], rows)
        yield f"PSNR gain over frames 1 to 14: {_error(rebuilt['gain_psnr'])} dB."
    if sketch := group.get("sketch"):
        ends = ("_precision", "_recall", "_f1", "_middle", "_beside")
        rows = [
            [name, *(_number(sketch["mean"].get(key + end)) for end in ends)]
            for name, key in (("with sketch", "with"), ("without", "without"), ("cross-dissolve", "dissolve"))
        ]
        heads = ["frame 7", "precision", "recall", "edge F1", "distance", "distance of 5, 6, 8, 9"]
        yield table(heads, rows)
        yield (
            f"F1 gain {_error(sketch['gain_f1'])}, better in {_percent(sketch['share_better_f1'])} of "
            f"{sketch['clips']} clips ({sketch['clips_without_lines']} more have no lines); frames beside: "
            f"{_error(sketch['loss_beside'])}."
        )


def _between_table(between: Summary, rebuilt: Summary | None) -> str:
    rows = [
        [
            name,
            _number(between["mean"].get(key)),
            _number(between["large_motion_mean"].get(key)),
            _number(between["mean"].get(f"{key}_psnr")),
        ]
        for name, key in (("ours", "ours"), ("cross-dissolve", "dissolve"), ("nearest keyframe", "nearest"))
    ]
    if rebuilt:
        mean = rebuilt["mean"]
        rows.append(["true frames encoded and decoded", _number(mean.get("with")), "", _number(mean.get("with_psnr"))])
    heads = ["in-betweens", "distance", f"of {between['large_motion_clips']} with large motion", "PSNR, dB"]
    return (
        table(heads, rows)
        + f"\n\nOurs beats the better baseline in {_percent(between['share_better'])} of all clips and in "
        f"{_percent(between['share_better_large_motion'])} of those with large motion; by {_error(between['gain'])}."
    )


def _fault_table(between: Summary) -> str:
    """What `faults` measures of ours and of the baselines."""
    measured = ("lines", "worst_lines", "still", "ink")
    rows = [
        [name, *(_number(between["mean"].get(f"{key}_{fault}")) for fault in measured)]
        for name, key in (("ours", "ours"), ("cross-dissolve", "dissolve"), ("nearest keyframe", "nearest"))
    ]
    heads = [
        "what stays",
        "lines' F1, 1 px",
        "in the worst frame",
        "still background off by, levels",
        "ink of keyframes'",
    ]
    return table(heads, rows)


def _variant_table(variants: Mapping[str, Summary]) -> str:
    rows = [
        [
            name,
            _number(row["mean"].get("ours")),
            _number(row["large_motion_mean"].get("ours")),
            _number(row["mean"].get("ours_psnr")),
            _percent(row["share_better_large_motion"]),
        ]
        for name, row in variants.items()
    ]
    return table(["variant", "distance", "with large motion", "PSNR, dB", "beats baselines, large motion"], rows)


def bar_table(bars_: Sequence[Mapping[str, Any]]) -> str:
    rows = [[bar["name"], _number(bar["value"]), bar["expected"], "met" if bar["met"] else "not met"] for bar in bars_]
    return table(["bar", "measured", "expected", ""], rows)


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; a bar in a cell is no border of it."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.4f}" if abs(value) < 1 else f"{value:.2f}"


def _percent(value: float | None) -> str:
    return "none" if value is None else f"{100 * value:.0f}%"


def _error(paired: Mapping[str, float | None]) -> str:
    error = paired["standard_error"]
    return _number(paired["mean"]) + (f" +- {_number(error)}" if error is not None else "")
