"""A comparison of methods in small: rows that share phases, their scores, pseudo-labels, tables and report."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from support.striped_scenes import written
from support.training_runs import ADAM, one_thread, values_for
from typer.testing import CliRunner

from wsss_ros import config
from wsss_ros.ablation import experiment, methods_results, one_run, pseudo_labels, scoring
from wsss_ros.ablation.loading import load_experiment
from wsss_ros.ablation.methods_settings import MethodsConfig
from wsss_ros.ablation.settings import AblationConfig
from wsss_ros.cli import main as cli
from wsss_ros.fusion import FusionSettings, fuse
from wsss_ros.inference import ImageSegmenter
from wsss_ros.methods.teacher_labels import cloud_scores
from wsss_ros.networks import checkpoint
from wsss_ros.networks.classifier import averaged_scores
from wsss_ros.samples.prepared import prepare
from wsss_ros.training.scene_set import open_scene_set
from wsss_ros.types import BadInput

JOINT = {"method": "joint", "epochs": 1, "batch": 3, "image": ADAM, "cloud": ADAM}
PHASES = {
    "images": {"method": "classify", "epochs": 1, "batch": 8, "image": ADAM},
    "clouds": {"method": "classify", "epochs": 1, "batch": 4, "cloud": ADAM},
    "joint": JOINT,
    "plain": {"like": "joint", "image_to_point": 0.0, "point_to_image": 0.0, "image": {"lr": 0.02}},
}
SEEN = {"visibility": "depth", "dilation": 0}
SURE = {**SEEN, "fill": "none"}
PHASES["fusion"] = {"method": "fusion", "epochs": 1, "batch": 3, "cloud": ADAM, "pseudo_truth": SURE}
NARROW = {"voxel_m": 0.2, "encoder": [[4, 4]], "bottleneck": [4, 4], "decoder": [[4, 4]], "head": [4, 8]}
FUSED = {
    **{"network": "sparse_unet", "options": NARROW, "inputs": ["fused_label"]},
    **{"fusion": {"settings": SEEN}, "augment": {"points": 256}},
}
ROWS = {
    "cls": {"method": "cls", "title": "tags alone", "phases": ["images", "clouds", "plain"], "pseudo_labels": {}},
    "joint": {
        "method": "joint",
        "phases": ["images", "clouds", "joint"],
        "pseudo_labels": {"image_tags": "image", "centring": 0.5},
    },
    "vote": {"method": "cls", "phases": ["images", "clouds", "plain"], "pseudo_labels": {"regions": "truth"}},
    "longer": {"method": "joint", "phases": ["images", "clouds", "joint", "plain"]},
    "clouds": {"method": "cls", "phases": ["clouds"]},
    "fused": {"method": "2d3dnet", "phases": ["images", "clouds", "joint"], "fused": {"settings": SEEN}},
    "net": {"method": "2d3dnet", "phases": ["images", "clouds", "joint", "fusion"], "cloud": "own"},
}
TABLE = {
    "title": "The table",
    "rows": [
        {"row": "cls", "paper_2d": 10.0, "paper_3d": 30.0},
        {"row": "joint", "title": "both", "paper_3d": 20.0},
        {"row": "densify", "paper_3d": 33.7},
    ],
}


def values(root: Path, **changes) -> dict:
    base = {key: value for key, value in values_for(root).items() if key != "phases"}
    base["data"] = {**base["data"], "val_frames_per_scene": 2}
    names = {"output": str(root / "runs"), "results": str(root / "docs/methods"), "seeds": [0]}
    return {**base, **names, "phases": PHASES, "rows": ROWS, "tables": [TABLE], "networks": {"own": FUSED}, **changes}


def settings_for(root: Path, **changes) -> MethodsConfig:
    return config.build(MethodsConfig, values(root, **changes))


@pytest.fixture(scope="module")
def done(tmp_path_factory, labels) -> MethodsConfig:
    """All rows trained and scored."""
    root = tmp_path_factory.mktemp("methods")
    written(root / "train", labels, range(4))
    written(root / "val", labels, range(100, 102))
    settings = settings_for(root)
    with one_thread():
        for run in experiment.runs(settings):
            one_run.train_and_score(run, settings, "by hand")
    return settings


# --- what is trained ---


def test_a_phase_that_is_like_another_one_has_its_options(tmp_path):
    phases = {**PHASES, "weak": {"like": "plain", "epochs": 7, "cloud": None}}
    found = settings_for(tmp_path, phases=phases).phases
    assert found["plain"] == found["joint"].model_copy(
        update={
            "image_to_point": 0.0,
            "point_to_image": 0.0,
            "image": found["joint"].image.model_copy(update={"lr": 0.02}),
        }
    )
    assert found["weak"] == found["plain"].model_copy(update={"epochs": 7, "cloud": None})


def test_rows_share_the_phases_they_begin_with(tmp_path):
    settings = settings_for(tmp_path, seeds=[0, 3])
    names = [run.name for run in experiment.runs(settings, ["cls", "longer"], [3])]
    start = "seed3/images+clouds"
    assert names == ["seed3/images", start, f"{start}+plain", f"{start}+joint", f"{start}+joint+plain"]
    assert len(experiment.runs(settings)) == 2 * 7
    run = settings.run_of("longer", 3)
    assert [each.name for each in run.chain] == [names[0], names[1], *names[3:]]
    assert [each.sets for each in run.chain] == [(), (), ("val", "val.fused", "train.joint"), ("val",)]
    images, clouds, joint, _ = (experiment.training_of(each, settings) for each in run.chain)
    assert (images.cloud, clouds.image, images.seed) == (None, None, 3)
    assert [Path(network.weights).parent.name for network in (joint.image, joint.cloud)] == ["images", "images+clouds"]


def test_phases_in_a_list_of_their_own_are_one_run(tmp_path):
    rows = {**ROWS, "one": {"method": "joint", "phases": ["images", "clouds", ["joint", "plain"]]}}
    settings = settings_for(tmp_path, rows=rows)
    run = settings.run_of("one", 0)
    assert run.name == "seed0/images+clouds+joint-plain" and len(run.chain) == 3
    assert run.phases == (settings.phases["joint"], settings.phases["plain"])
    assert run.sets == ("val",) and run.before == settings.run_of("joint", 0).before
    assert config.build(MethodsConfig, settings.model_dump(mode="json")) == settings


def test_a_row_with_fewer_classes_has_runs_of_its_own(tmp_path):
    reduced = {"method": "densify", "phases": ["clouds"], "removed": {"classes": {"wall": 2, "floor": 1}, "seed": 4}}
    settings = settings_for(tmp_path, rows={**ROWS, "reduced": reduced})
    run, whole = settings.run_of("reduced", 0), settings.run_of("clouds", 0)
    assert (run.name, whole.name) == ("seed0/without-2-wall-1-floor-4/clouds", "seed0/clouds")
    assert run.train.removed.classes == {"wall": 2, "floor": 1} and whole.train.removed is None
    assert (run.sets, whole.sets) == (("val",), ("val",))


def test_a_pretraining_is_shared_by_all_seeds(tmp_path):
    settings = settings_for(tmp_path, pretrain={"seed": 9, "phases": [PHASES["images"]]})
    names = [run.name for run in experiment.runs(settings, ["clouds", "cls"], [0, 1])]
    assert names.count("pretrain") == 1 and names[0] == "pretrain"
    first = settings.run_of("cls", 1).chain[1]
    assert Path(experiment.training_of(first, settings).image.weights).parent == tmp_path / "runs/pretrain"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"phases": {**PHASES, "plain": {"like": "jiont"}}}, "phases.plain: no phase 'jiont'; there are: images"),
        ({"phases": {"a": {"like": "b"}, "b": {"like": "a"}}}, "phases.a: is like itself"),
        ({"phases": {**PHASES, "plain": {"like": "joint", "epochs": 0}}}, "phases.plain.joint.epochs"),
        ({"rows": {"a": {"method": "cls", "phases": ["images", "cluods"]}}}, "rows.a: no phase 'cluods'"),
        ({"rows": {"a": {"method": "best", "phases": ["images"]}}}, "rows.a.method"),
        ({"rows": {"a": {**ROWS["net"], "cloud": "nown"}}}, "rows.a: no network 'nown'; there are: own"),
        ({"rows": {"a": {**ROWS["net"], "pseudo_labels": {}}}}, "rows.a: .*those of a row with 'cloud' or 'fused'"),
        ({"rows": {"a": {**ROWS["fused"], "phases": ["clouds"]}}}, "rows.a: 'fused' needs labels of an image network"),
    ],
)
def test_faults_of_a_configuration_are_named(tmp_path, changes, words):
    with pytest.raises(BadInput, match=words):
        settings_for(tmp_path, **changes)


def test_a_file_is_read_as_what_it_is(tmp_path):
    path = tmp_path / "methods.yaml"
    path.write_text(yaml.safe_dump(values(tmp_path)))
    loaded = load_experiment(path)
    assert loaded == settings_for(tmp_path)
    path.write_text(yaml.safe_dump(loaded.model_dump(mode="json")))
    assert load_experiment(path) == loaded
    assert isinstance(load_experiment(config.share("config/ablation_cpu.yaml")), AblationConfig)


def test_the_configuration_that_ships_is_valid():
    settings = config.load(MethodsConfig, config.share("config/methods_rooms.yaml"))
    assert len(settings.seeds) == 3 and settings.results == "docs/methods"
    alone = {name for name, row in settings.rows.items() if row.method in ("densify", "2d3dnet")}  # clouds alone
    assert all(row.pseudo_labels for name, row in settings.rows.items() if name not in alone)
    last = {row: settings.run_of(row, 0) for row in settings.rows}
    assert all(run.kinds == ("image", "cloud") for row, run in last.items() if row not in alone)
    assert all("cloud" in run.kinds for run in last.values())


# --- what came out ---


@pytest.mark.slow
def test_every_row_has_an_entry_for_each_of_its_sets(done):
    entries = methods_results.collect(done)
    of_rows = {row: [entry["set"] for entry in entries if entry["row"] == row] for row in ROWS}
    labelled, alone = ["train", "val"], ["val"]
    expected = {"cls": labelled, "joint": labelled, "vote": labelled, "longer": alone, "clouds": alone}
    assert of_rows == {**expected, "fused": alone, "net": alone}
    assert {entry["row"]: entry["method"] for entry in entries} == {row: ROWS[row]["method"] for row in ROWS}
    for entry in entries:
        assert list(entry)[:6] == ["method", "row", "set", "seed", "miou_2d", "miou_3d"]
        assert 0 <= entry["miou_3d"] <= 100 and (entry["miou_2d"] is None) == (entry["row"] in ("clouds", "fused"))
    seconds = {entry["row"]: entry["seconds"] for entry in entries}
    assert seconds["longer"] > seconds["joint"] > 0


@pytest.mark.slow
def test_labels_of_primitives_alone_are_scored_among_the_tags(done, labels):
    options = {"primitives": {"primitives": 6, "superpoints": {"kind": "vccs", "seed_m": 0.3}}}
    chosen = experiment.ScoredSet(done.train, config.build(experiment.PseudoLabelsConfig, options))
    files = {"cloud": experiment.trained_networks(done.run_of("clouds", 0), done)["cloud"]}
    counts = pseudo_labels.score(files, chosen, done)["cloud"].counts
    assert counts.sum() == 4 * 600
    tagged = [labels.index(name) for name in ("wall", "floor", "bed")]
    assert counts[:, tagged].sum() == 4 * 600, "each point has a label that is a tag"


@pytest.mark.slow
def test_scores_of_an_earlier_version_are_kept(done):
    """Its file does not have the options that came later."""
    sets = [(run, name) for run in (done.run_of("cls", 0), done.run_of("fused", 0)) for name in run.sets]
    assert "val.fused" in {name for _, name in sets}
    for run, name in sets:
        file = Path(done.output) / run.name / f"scores_{name}.json"
        content, before = json.loads(file.read_text()), file.read_text()
        del content["asked"]["scenes"]["removed"]
        content["asked"].get("pseudo_labels", {}).pop("primitives", None)
        content["asked"].get("fused", {}).pop("preferred", None)
        file.write_text(json.dumps(content))
        assert name not in scoring.missing_sets(run, done)
        file.write_text(before)


@pytest.mark.slow
def test_fused_labels_are_scored_alone_and_as_the_input_of_a_network_of_a_row(done, labels):
    """By hand: the labels of the image network of the row, voted onto the points of each val scene."""
    files = experiment.trained_networks(done.run_of("fused", 0), done)
    images, hits, either = ImageSegmenter(files["image"], "cpu"), np.zeros(20), np.zeros(20)
    for scene in open_scene_set(done.data.val, labels)[0]:
        frames = [scene.frame(index) for index in range(len(scene))]
        flat, settings = [images(frame)[0] for frame in frames], config.build(FusionSettings, SEEN)
        found, truth = fuse(scene.cloud.xyz, frames, flat, settings, 20).label, scene.cloud_truth()
        for c in range(20):
            hits[c] += ((found == c) & (truth == c)).sum()
            either[c] += ((found == c) | (truth == c)).sum()
    true = np.isin(np.arange(20), [*np.unique(truth), *np.flatnonzero(hits)])
    entries = {e["row"]: e for e in methods_results.collect(done) if e["set"] == "val"}
    assert entries["fused"]["miou_3d"] == pytest.approx(100 * (hits[true] / either[true]).mean(), abs=1e-3)
    own = experiment.training_of(done.run_of("net", 0), done).cloud
    assert (own.network, own.weights) == ("sparse_unet", "")
    run = done.run_of("net", 0)
    assert run.name == "seed0/images+clouds+joint+fusion@own"
    assert checkpoint.load(experiment.trained_networks(run, done)["cloud"]).config.inputs == ("fused_label",)


@pytest.mark.slow
def test_runs_start_from_the_networks_of_those_before(done):
    run = done.run_of("longer", 0)
    notes = json.loads((Path(done.output) / run.name / "start.json").read_text())
    before = experiment.trained_networks(run.chain[-2], done)
    assert notes == {kind: checkpoint.load(path, kind).version for kind, path in before.items()}


@pytest.mark.slow
@pytest.mark.parametrize(("row", "by_scene", "centring"), [("cls", True, 0.0), ("joint", False, 0.5)])
def test_pseudo_labels_are_scored_among_the_tags(done, labels, row, by_scene, centring):
    """The mIoU is what counting pixels and points of the training scenes by hand gives."""
    entry = next(e for e in methods_results.collect(done) if (e["row"], e["set"]) == (row, "train"))
    files = experiment.trained_networks(done.run_of(row, 0), done)
    image, cloud = (checkpoint.load(files[kind]).network.eval() for kind in ("image", "cloud"))
    counts = {domain: np.zeros((2, 20)) for domain in ("2d", "3d")}

    def count(domain: str, scores: np.ndarray, tags: np.ndarray, truth: np.ndarray) -> None:
        scores = scores - centring * scores.reshape(20, -1).mean(1).reshape(20, *[1] * truth.ndim)
        found = np.where(tags.reshape(20, *[1] * truth.ndim) > 0, scores, -np.inf).argmax(0)
        if truth.ndim == 2:
            found = np.kron(found, np.ones((truth.shape[0] // found.shape[0], truth.shape[1] // found.shape[1]), int))
        for c in range(20):
            counts[domain][:, c] += ((found == c) & (truth == c)).sum(), ((found == c) | (truth == c)).sum()

    scenes = open_scene_set(done.train, labels)[0]
    for scene in prepare(scenes, labels, done.data.cache, 0, 40, done.data.visibility_m, truth=True).scenes:
        for index in (0, 2):
            own = scene.tags if by_scene else scene.image_tags[index]
            with torch.inference_mode():
                scores = averaged_scores(image, torch.from_numpy(np.array(scene.image(index))), (40,)).numpy()
            count("2d", scores, np.array(own), scene.frame_truth[index])
        with torch.inference_mode():
            scores = cloud_scores(cloud, scene, 256, ("color",)).T.numpy()
        count("3d", scores, np.array(scene.tags), scene.cloud_truth)
    for domain, (hits, either) in counts.items():
        expected = 100 * (hits[either > 0] / either[either > 0]).mean()
        assert entry[f"miou_{domain}"] == pytest.approx(expected, abs=1e-3)


@pytest.mark.slow
def test_regions_vote_on_pseudo_labels(done, labels):
    """With true regions all points of a class of a scene get one label: of the largest mean probability there."""
    entry = next(e for e in methods_results.collect(done) if (e["row"], e["set"]) == ("vote", "train"))
    network = checkpoint.load(experiment.trained_networks(done.run_of("vote", 0), done)["cloud"]).network.eval()
    hits, either = np.zeros(20), np.zeros(20)
    scenes = open_scene_set(done.train, labels)[0]
    for scene in prepare(scenes, labels, done.data.cache, 0, 40, done.data.visibility_m, truth=True).scenes:
        with torch.inference_mode():
            scores = cloud_scores(network, scene, 256, ("color",))
        absent = torch.from_numpy(np.array(scene.tags)) == 0
        probability = scores.masked_fill(absent, -torch.inf).softmax(1).numpy()
        for true in np.unique(scene.cloud_truth):
            own = scene.cloud_truth == true
            found = probability[own].mean(axis=0).argmax()
            hits[true] += own.sum() * (found == true)
            either[true] += own.sum()
            either[found] += own.sum() * (found != true)
    expected = 100 * (hits[either > 0] / either[either > 0]).mean()
    assert entry["miou_3d"] == pytest.approx(expected, abs=1e-3)
    assert 0 <= entry["miou_2d"] <= 100


@pytest.mark.slow
def test_the_command_goes_on_and_reports(done, tmp_path):
    file = tmp_path / "small.yaml"
    file.write_text(yaml.safe_dump(done.model_dump(mode="json"), sort_keys=False))
    answer = CliRunner().invoke(cli.app, ["bench", "methods", str(file), "--jobs", "1"])
    assert answer.exit_code == 0, answer.output
    assert "7 of 7" in answer.output and "FAILED" not in answer.output and "done in" not in answer.output
    entries = json.loads(Path(f"{done.results}.json").read_text())
    assert entries == methods_results.collect(done)
    page = Path(f"{done.results}.md").read_text()
    assert "All rows have one seed: leads, not results." in page
    assert "| `densify` |  | - | - |  | 33.7 | - |" in page and "Missing, not trained yet: `densify`." in page
    assert "Order of the paper in 3D, joint < cls: " in page and "paper in 2D" not in page
    assert "| `joint` | both |" in page and "| `cls` | tags alone |" in page
    for name in ("tables", "labels"):
        picture = Path(f"{done.results}_{name}.png")
        assert picture.name in page and np.asarray(Image.open(picture).convert("RGB")).std() > 5


def test_the_order_of_a_table_is_that_of_the_paper(tmp_path):
    """Rows follow the paper's numbers; rows with the same number are not compared."""
    rows = [{"row": name, "paper_3d": paper} for name, paper in (("c", 30), ("a", 10), ("b", 30), ("d", 40))]
    table = settings_for(tmp_path, tables=[{"title": "t", "rows": rows}]).tables[0]
    figures = {"a": (1, 2), "b": (5, 6), "c": (3, 4), "d": (4, 5)}
    entries = [
        {"row": row, "seed": seed, "set": "train", "miou_2d": None, "miou_3d": value}
        for row, own in figures.items()
        for seed, value in enumerate(own)
    ]
    assert methods_results.missing(entries[:4], table) == ["c", "d"]
    sentence = "Order of the paper in 3D, a < b < c < d: came out."
    assert methods_results.orders(entries, table) == [sentence]
    entries = [{**entry, "miou_3d": 3.6 - entry["seed"]} if entry["row"] == "d" else entry for entry in entries]
    assert "did not come out at c < d (-0.40, within the spread)" in methods_results.orders(entries, table)[0]
