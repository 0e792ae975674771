"""What both segmenter nodes share: their parameters, and a network whose weights change while it runs."""

from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from wsss_ros.labels import RECOMMENDED, LabelSpace, labels_named
from wsss_ros.nodes import conversions
from wsss_ros.nodes.hand_over import HandOver
from wsss_ros.nodes.health import Report
from wsss_ros.nodes.label_info import LabelInfoTopic
from wsss_ros.nodes.node import Node
from wsss_ros.nodes.parameters import NodeConfig


class SegmenterConfig(NodeConfig):
    """Parameters of both segmenters."""

    live: ClassVar[tuple[str, ...]] = ("min_confidence",)
    weights: str = Field("", description="Checkpoint file; empty for the weights that ship with the package.")
    label_space: str = Field(
        "config/labels/scannet20.yaml",
        description="Label file or checkpoint the weights must agree with; empty takes whatever the weights know.",
    )
    device: str = Field("auto", description="auto, cpu, cuda or cuda:N.")
    precision: Literal["auto", "float32", "bfloat16"] = Field("auto", description="Arithmetic of the network.")
    min_confidence: float = Field(
        RECOMMENDED,
        ge=-1,
        le=1,
        description="Labels with less confidence become 255, unlabelled; -1: as the weights recommend, 0: none does.",
    )
    threads: int = Field(0, ge=0, le=256, description="CPU threads of the network; 0 leaves the choice to torch.")


class SegmenterNode(Node):
    """Loads a network at configure. Weights announced on ``weights/KIND`` replace it between two messages."""

    model = SegmenterConfig
    config: SegmenterConfig
    kind: str  # image or cloud
    networks: HandOver | None = None
    label_info: LabelInfoTopic | None = None

    # --- what a segmenter defines ---

    def load(self, weights: str, labels: LabelSpace | None) -> Any:
        """A segmenter of the core with these weights. With ``labels``, weights of another label space are refused."""
        raise NotImplementedError

    def dry_run(self, segmenter: Any) -> tuple[np.ndarray, np.ndarray]:
        """Labels and confidence of a plain input."""
        raise NotImplementedError

    def warm_up(self, segmenter: Any) -> None:
        """The first forward pass is slow: it is made at configure."""
        self.dry_run(segmenter)

    # --- what they share ---

    def labelled(self, *arguments: Any) -> tuple[np.ndarray, np.ndarray]:
        """Labels and confidence by the network in use; a label with too little confidence becomes 255."""
        segmenter = self.networks.current.segmenter
        labels, confidence = segmenter(*arguments)
        if confidence.size and not np.isfinite(confidence.sum()):
            raise RuntimeError(f"the scores of weights {segmenter.version} are not finite; use other weights")
        return segmenter.drop_unsure(labels, confidence, self.config.min_confidence), confidence

    def networks_report(self) -> Report:
        """The weights in use, their device and its memory, and the confidence that a label needs."""
        problems, values = self.networks.report()
        segmenter = self.networks.current.segmenter
        values |= {"min_confidence": f"{segmenter.threshold(self.config.min_confidence):g}"}
        return problems, values | {"device": str(segmenter.device)} | _device_memory(segmenter.device)

    # --- lifecycle ---

    def configure(self) -> None:
        """Load the weights and make the first forward pass."""
        config = self.config
        first = self.load(config.weights, labels_named(config.label_space) if config.label_space else None)
        self.space = first.labels
        conversions.warm_up(self.space)
        self.warm_up(first)
        self.label_info = LabelInfoTopic(self)
        self.label_info.publish(self.space)
        self.networks = HandOver(self, f"weights/{self.kind}", first, self.dry_run)

    def deactivate(self) -> None:
        """Stop to follow new weights."""
        if self.networks is not None:
            self.networks.stop()

    def release(self) -> None:
        """Free the network."""
        if self.networks is not None:
            self.networks.release()
        if self.label_info is not None:
            self.label_info.close()
        self.networks = self.label_info = None

    def summary(self) -> str:
        """Version, label space and device of the weights."""
        segmenter = self.networks.current.segmenter
        return f"weights {segmenter.version} of {segmenter.labels.name} on {segmenter.device}"


def _device_memory(device: Any) -> dict[str, str]:
    """Memory that this process holds on a GPU, in MB; nothing for the CPU."""
    if device.type != "cuda":
        return {}
    import torch

    return {"device_memory_mb": f"{torch.cuda.memory_reserved(device) / 1e6:.0f}"}
