"""Predictions against ground truth while both stream: IoU by class, set and version of the weights.

They are written to a folder again and again, and at the end: evaluation.json, evaluation.md, evaluation.png.
"""

import time
from collections import deque
from typing import Any, NamedTuple, NoReturn

from pydantic import Field
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image, PointCloud2
from std_msgs.msg import String

from wsss_ros.bags import cloud_codec, codec
from wsss_ros.evaluation.running_scores import DOMAINS, LatchedHistory, RunningScores, ScoreKey, count_invalid_labels
from wsss_ros.files import expanded, writable_folder
from wsss_ros.labels import labels_named
from wsss_ros.nodes.health import WARN, Problem, Report, sync_report
from wsss_ros.nodes.inputs import Input
from wsss_ros.nodes.label_info import PredictedLabels
from wsss_ros.nodes.node import Node
from wsss_ros.nodes.parameters import NodeConfig
from wsss_ros.nodes.process import run
from wsss_ros.nodes.qos import MAP
from wsss_ros.nodes.ros_packages import read_cloud
from wsss_ros.sync import Synchronizer
from wsss_ros.types import BadInput

# Every prediction counts, so they may queue; so may the truth, which comes long before a slow network's prediction.
IMAGES = QoSProfile(depth=30, reliability=ReliabilityPolicy.RELIABLE)
CLOUDS = QoSProfile(depth=3, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)
WAITING = {"2d": 120, "3d": 6}  # of each stream, and of pairs: images are small, clouds are not
UNKNOWN = "unknown"


class EvaluatorConfig(NodeConfig):
    """Parameters of the evaluator."""

    output: str = Field("evaluation", description="Folder of the JSON, table and plot; existing ones are replaced.")
    write_period_s: float = Field(30.0, ge=0.5, le=3600, description="Time between two updates of the files.")
    label_space: str = Field(
        "config/labels/scannet20.yaml", description="Classes of predictions and truth: a label file or a checkpoint."
    )
    sync_tolerance_s: float = Field(0.005, ge=0, le=1, description="Most that stamps of an image and its truth differ.")
    cloud_tolerance_s: float = Field(
        1.0, ge=0, le=60, description="The same for a cloud: one built here has stamps of its own."
    )


class Arrival(NamedTuple):
    """A message, when it was sent by its publisher's clock, and when it arrived by ours."""

    message: Any
    sent_ns: int
    at_ns: int


class EvaluatorNode(Node):
    """Matches predictions with their truth by stamp and scores them.

    The version of a prediction is the newest on its segmenter's ``~/weights`` when it was sent; its set is the newest
    on ``ground_truth/set`` when the truth was sent.
    """

    name = "evaluator"
    model = EvaluatorConfig
    config: EvaluatorConfig
    main_job = "score"
    scores: RunningScores | None = None

    def configure(self) -> None:
        """Create the folder and empty scores."""
        from wsss_ros.evaluation.played import label_points

        self._label_points = label_points
        self.labels = labels_named(self.config.label_space)
        self.folder = expanded(self.config.output).absolute()
        writable_folder(self.folder)
        self.scores, self.predicted = RunningScores(self.labels), PredictedLabels(self, self.labels)
        self.versions = {domain: LatchedHistory(UNKNOWN) for domain in DOMAINS}
        self.sets = LatchedHistory("")
        self._pairs: dict[str, deque] = {domain: deque() for domain in DOMAINS}
        self._scored = self._written = 0

    def activate(self) -> None:
        """Subscribe to predictions, truth, versions and sets."""
        tolerance_s = {"2d": self.config.sync_tolerance_s, "3d": self.config.cloud_tolerance_s}
        self.sync = {
            domain: Synchronizer(("prediction", "truth"), round(tolerance_s[domain] * 1e9), WAITING[domain])
            for domain in DOMAINS
        }
        self._submitted = False
        # The small topics first: of several topics that are ready, the executor takes the first.
        self.predicted.start()
        self._follow("ground_truth/set", self.sets)
        self._follow("image_segmenter/weights", self.versions["2d"])
        self._follow("cloud_segmenter/weights", self.versions["3d"])
        self._pair("2d", Image, "semantic/image_raw", "ground_truth/semantic/image_raw", IMAGES)
        self._pair("3d", PointCloud2, "semantic_cloud", "ground_truth/cloud", CLOUDS)
        self.every(self.config.write_period_s, lambda: self.submit("write", self.write))

    def deactivate(self) -> None:
        """Score what still waits, for the worker has ended, and write the files."""
        if self.scores is not None:
            self._score_waiting()
            if not self.guarded(self.write):
                self.exit_status = 1

    def release(self) -> None:
        """Forget the scores."""
        self.scores = None

    def summary(self) -> str:
        """Label space and folder."""
        return f"scores {self.labels.name} into {self.folder}"

    def report(self) -> Report:
        """Matching, and mIoU of the newest sets and versions."""
        if not self.active:
            return [], {}
        problems: list[Problem] = []
        values: dict[str, str] = {}
        for domain, what in DOMAINS.items():
            unmatched, counts = sync_report(self.sync[domain], f"scores of {what}")
            problems += unmatched
            values |= {f"{what} {key}": value for key, value in counts.items()}
        for entry in self.scores.entries(newest=8):
            name = " ".join(filter(None, (entry["domain"], entry["set"], entry["version"])))
            values[f"miou {name}"] = f"{entry['miou'] or 0:.1f} of {entry['frames']}"
            if entry["version"] == UNKNOWN:
                text = f"predictions of {DOMAINS[entry['domain']]} without a version; is <segmenter>/weights remapped?"
                problems.append((WARN, text))
        return problems, values

    # --- messages ---

    def _follow(self, topic: str, history: LatchedHistory) -> None:
        def received(message: String) -> None:
            history.add(record.sent_ns or time.time_ns(), message.data)

        record = self.subscribe(String, topic, received, MAP, "name", needed=lambda: False)

    def _pair(self, domain: str, kind: type, prediction: str, truth: str, qos: QoSProfile) -> None:
        """Each of the two topics is needed while the other one brings messages."""
        records: dict[str, Input] = {}
        for stream, topic, other in (("prediction", prediction, "truth"), ("truth", truth, "prediction")):

            def received(message: Any, stream: str = stream) -> None:
                self._match(domain, stream, message, records[stream].sent_ns)

            def needed(other: str = other) -> bool:
                recent = time.monotonic() - records[other].since < self.config.sensor_timeout_s
                return recent and records[other].received > 0

            records[stream] = self.subscribe(kind, topic, received, qos, f"scores of {DOMAINS[domain]}", needed)

    def _match(self, domain: str, stream: str, message: Any, sent_ns: int) -> None:
        now_ns = time.time_ns()
        arrival = Arrival(message, sent_ns or now_ns, now_ns)
        pair = self.sync[domain].add(stream, codec.stamp_ns(message.header), arrival)
        if pair is None:
            return
        self._pairs[domain].append(pair)
        if len(self._pairs[domain]) > WAITING[domain]:
            self._pairs[domain].popleft()
            self.health.drop(f"{DOMAINS[domain]} that arrived faster than they are scored")
        if not self._submitted:
            self._submitted = True
            self.submit("score", self._score_waiting)

    # --- work ---

    def _score_waiting(self) -> None:
        self._submitted = False  # first: a pair that arrives from now on submits again
        for domain, score in (("2d", self.score_image), ("3d", self.score_cloud)):
            while self._pairs[domain]:
                pair = self._pairs[domain].popleft()
                self.guarded(score, pair["prediction"], pair["truth"])

    def score_image(self, prediction: Arrival, truth: Arrival) -> None:
        """Count the pixels of one image. Raises BadInput for images of two sizes."""
        found, true = self.predicted.read(prediction.message), codec.image_to_labels(truth.message)
        if found.shape != true.shape:
            raise BadInput(
                f"label image size: {found.shape[1]} x {found.shape[0]} predicted, {true.shape[1]} x {true.shape[0]} "
                "true; expected both of one camera and size"
            )
        self._count("2d", found, true, prediction, truth)

    def score_cloud(self, prediction: Arrival, truth: Arrival) -> None:
        """Count the points of one cloud. Raises BadInput for clouds in two frames or without points."""
        frames = [arrival.message.header.frame_id.removeprefix("/") for arrival in (prediction, truth)]
        if frames[0] != frames[1]:
            raise BadInput(f"cloud frames: '{frames[0]}' predicted, '{frames[1]}' true; expected one frame for both")
        xyz, labels = _labelled(prediction.message)
        true_xyz, true = _labelled(truth.message)
        self._count("3d", self._label_points(xyz, labels, true_xyz), true, prediction, truth)

    def _count(self, domain: str, found: Any, true: Any, prediction: Arrival, truth: Arrival) -> None:
        key = ScoreKey(self.sets.at(truth.sent_ns), self.versions[domain].at(prediction.sent_ns), domain)
        self.scores.add(key, found, true, prediction.at_ns)
        self._scored += 1
        for what, labels in (("predicted", found), ("true", true)):
            if count := count_invalid_labels(labels, len(self.labels)):
                cause = f"{what} labels outside of '{self.labels.name}'"
                self.health.drop(cause, count)
                counts_as = "wrong" if what == "predicted" else "unlabelled"
                text = f"{cause}: {count} in one of the {DOMAINS[domain]}, which count as {counts_as}"
                self.report_problem(cause, f"{text}; check label_space")

    def write(self) -> None:
        """Write the files where there is something new since the last time. Raises BadInput where that fails."""
        from wsss_ros.evaluation import running_report

        scored = self._scored
        if scored == self._written and (self.folder / running_report.JSON).exists():
            return
        try:
            running_report.write(self.scores, self.folder)
        except OSError as error:
            raise BadInput(f"writing to '{self.folder}': {error}; make room; it is tried again") from error
        self._written = scored


def _labelled(message: PointCloud2) -> tuple[Any, Any]:
    """Finite points (N x 3) and their labels (N)."""
    read, labels = read_cloud(message), cloud_codec.cloud_to_labels(message)
    if not len(read.cloud):
        raise BadInput(f"empty labelled cloud: {read.dropped} points, none of them finite; there is nothing to score")
    return read.cloud.xyz, read.gather(labels)


def main(args: list[str] | None = None) -> NoReturn:
    """Run the node until SIGINT or SIGTERM."""
    run(EvaluatorNode, args)


if __name__ == "__main__":
    main()
