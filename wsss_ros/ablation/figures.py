"""Pictures of an experiment: class activation maps of some rows next to each other, and the curves of their losses."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from wsss_ros.ablation.experiment import ExperimentConfig, trained_networks
from wsss_ros.ablation.results import DOMAINS
from wsss_ros.ablation.rows import ROWS
from wsss_ros.ablation.settings import AblationConfig
from wsss_ros.evaluation import pictures
from wsss_ros.evaluation.fused_scenes import fused_scenes
from wsss_ros.files import read_json
from wsss_ros.inference import CloudSegmenter, ImageSegmenter
from wsss_ros.labels import UNLABELLED, LabelSpace, labels_named
from wsss_ros.scenes.derived import up_of
from wsss_ros.scenes.frame_choice import spread
from wsss_ros.training.scene_set import open_scene_set
from wsss_ros.types import Scene

SHOWN = {"2d": ("cls", "3d_to_2d", "both"), "3d": ("cls", "2d_to_3d", "both")}
_SIZE = (240, 180)
_VIEWS = 4
_COLORS = dict(zip(ROWS, ("0.55", "#9ecae1", "#3182bd", "#fdae6b", "#e6550d", "#31a354", "#000000"), strict=True))


def draw(entries: Sequence[dict], settings: AblationConfig) -> list[Path]:
    """Draw the curves and, where a seed has all rows of SHOWN, the activation maps; returns the paths of both files."""
    written = []
    rows = {row for rows in SHOWN.values() for row in rows}
    if (seed := seed_with(rows, entries, settings)) is not None:
        written.append(pictures.save(cams(settings, seed, SHOWN), f"{settings.results}_cams.png"))
    written.append(pictures.save(curves(entries, settings), f"{settings.results}_curves.png"))
    return written


def seed_with(rows: Collection[str], entries: Sequence[dict], settings: ExperimentConfig) -> int | None:
    """The first seed that has all of these rows."""
    there = {(entry["row"], entry["seed"]) for entry in entries}
    return next((seed for seed in settings.seeds if all((row, seed) in there for row in rows)), None)


# --- class activation maps ---


def cams(settings: ExperimentConfig, seed: int, rows: Mapping[str, Sequence[str]]) -> Image.Image:
    """Draw views and clouds of val, their truth, and the best of the tagged classes (eq. 5) by each network.

    ``rows`` are those in the pictures of images ("2d") and of clouds ("3d").
    """
    labels = labels_named(settings.labels)
    scenes, _ = open_scene_set(settings.data.val, labels)
    scenes = [scenes[index] for index in spread(len(scenes), _VIEWS)]
    shown: set[int] = set()
    images, clouds = (_weights(settings, seed, rows[domain], kind) for domain, kind in DOMAINS.items())
    upper = _image_rows(images, settings, scenes, labels, shown)
    for_clouds = _weights(settings, seed, rows["3d"], "image")
    lower = _cloud_rows(clouds, for_clouds, settings, scenes[: _VIEWS // 2], labels, shown)
    parts = [(["image", "truth", *rows["2d"]], upper), (["cloud", "truth", *rows["3d"]], lower)]
    sheets = [pictures.sheet(titles, content) for titles, content in parts]
    names = [labels.names[index] for index in sorted(shown)]
    return smaller(pictures.stacked([*sheets, pictures.legend(labels, names, sheets[0].width)]))


def _image_rows(
    weights: Sequence[Path], settings: ExperimentConfig, scenes: Sequence[Scene], labels: LabelSpace, shown: set[int]
) -> list[list[np.ndarray]]:
    segmenters = [ImageSegmenter(path, settings.device) for path in weights]
    rows = []
    for scene in scenes:
        index = _richest(scene)
        frame, truth = scene.frame(index), scene.frame_truth(index)
        present = labels.multi_hot(scene.image_tags(index))
        maps = [truth, *(segmenter(frame, present=present)[0] for segmenter in segmenters)]
        shown |= _classes(maps)
        rows.append([_fit(frame.rgb), *(_fit(labels.colorize(found)) for found in maps)])
    return rows


def _cloud_rows(
    weights: Sequence[Path],
    images: Sequence[Path],
    settings: ExperimentConfig,
    scenes: Sequence[Scene],
    labels: LabelSpace,
    shown: set[int],
) -> list[list[np.ndarray]]:
    """``images`` are the image networks of the rows of ``weights``: some cloud networks take their labels."""
    segmenters = [CloudSegmenter(path, settings.device) for path in weights]
    pairs = [(own, ImageSegmenter(path, settings.device)) for own, path in zip(segmenters, images, strict=True)]
    rows = []
    for scene in scenes:
        cloud, present = scene.cloud, labels.multi_hot(scene.tags)
        up = up_of(scene)
        needed = [fused_scenes([scene], *pair)[0].cloud for pair in pairs]
        found = (own(each, up, present)[0] for own, each in zip(segmenters, needed, strict=True))
        maps = [scene.cloud_truth(), *found]
        shown |= _classes(maps)
        colors = [cloud.rgb, *(labels.colorize(found) for found in maps)]
        rows.append([pictures.render_cloud(cloud.xyz, color, size=_SIZE) for color in colors])
    return rows


def _weights(settings: ExperimentConfig, seed: int, rows: Sequence[str], kind: str) -> list[Path]:
    return [trained_networks(settings.run_of(row, seed), settings)[kind] for row in rows]


def _richest(scene: Scene) -> int:
    """The frame with most tags, of a few."""
    return max(spread(len(scene), 12), key=lambda index: len(scene.image_tags(index) or ()))


def _classes(maps: Sequence[np.ndarray]) -> set[int]:
    return {int(index) for found in maps for index in np.unique(found) if index != UNLABELLED}


def _fit(picture: UInt8[np.ndarray, "H W 3"]) -> UInt8[np.ndarray, "h w 3"]:
    return np.asarray(Image.fromarray(picture).resize(_SIZE, Image.Resampling.BILINEAR))


def smaller(page: Image.Image) -> Image.Image:
    """The page in 256 colours: a third of the bytes, and hardly a visible difference."""
    return page.quantize(256, dither=Image.Dither.NONE)


# --- curves ---


def curves(entries: Sequence[dict], settings: AblationConfig) -> Image.Image:
    """Draw each loss of the joint phase over the epochs, a line for each row: the mean over seeds and their range."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    by_row = dict(_losses(entries, settings))
    terms = list(dict.fromkeys(term for runs in by_row.values() for term in runs))
    figure = Figure(figsize=(10, 3.1 * -(-len(terms) // 2)), dpi=80, layout="constrained")
    axes = figure.subplots(-(-len(terms) // 2), 2, squeeze=False).ravel()
    for axis, term in zip(axes, terms, strict=False):
        for row, runs in by_row.items():
            if term in runs:
                values, epochs = runs[term], np.arange(1, runs[term].shape[1] + 1)
                axis.plot(epochs, values.mean(0), color=_COLORS[row], label=row, linewidth=1.6)
                axis.fill_between(epochs, values.min(0), values.max(0), color=_COLORS[row], alpha=0.15, linewidth=0)
        axis.set_title(term, fontsize=10)
        axis.set_xlabel("epoch")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.grid(alpha=0.25)
        axis.legend(fontsize=7)
    for axis in axes[len(terms) :]:
        axis.set_axis_off()
    return smaller(pictures.drawn(figure))


def _losses(entries: Sequence[dict], settings: AblationConfig) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    """For each row its losses [seed, epoch] by name; nan where an epoch has none (the warm-up)."""
    for row in ROWS:
        seeds = sorted({entry["seed"] for entry in entries if entry["row"] == row})
        folders = [Path(settings.output) / settings.run_of(row, seed).name for seed in seeds]
        runs = [read_json(folder / "curves.json")[-1]["epochs"] for folder in folders]
        if runs:
            terms = dict.fromkeys(term for run in runs for epoch in run for term in epoch)
            yield row, {t: np.array([[epoch.get(t, np.nan) for epoch in run] for run in runs]) for t in terms}
