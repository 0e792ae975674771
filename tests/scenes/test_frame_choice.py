"""Choosing frames: evenly, and of those that a person tagged."""

from types import SimpleNamespace

from wsss_ros.scenes.frame_choice import spread, tagged_frames, training_frames


class _Scene:
    """A scene with tags for some frames; ``tag_file`` says whether a person gave them."""

    name, tags, cloud, world_up = "made up", None, None, None
    unknown, image_unknown = (), lambda *_: ()
    frame = frame_truth = cloud_truth = lambda *_: None  # never asked

    def __init__(self, frames: int, tags: dict[int, tuple[str, ...]], by_hand: bool):
        self.frames, self.tags_by_frame = frames, tags
        self.tag_file = SimpleNamespace() if by_hand else None

    def __len__(self) -> int:
        return self.frames

    def image_tags(self, index: int) -> tuple[str, ...] | None:
        return self.tags_by_frame.get(index)


def test_spread_is_even():
    assert spread(100, 4) == [12, 37, 62, 87]
    assert spread(10, 0) == list(range(10))
    assert spread(5, 0) == spread(5, 9) == spread(5, 5) == [0, 1, 2, 3, 4]


def test_frames_tagged_by_hand_are_the_ones_to_train_on():
    tags = {2: ("wall",), 5: (), 7: ("bed",), 8: ("bed",)}
    by_hand, generated = _Scene(10, tags, True), _Scene(10, tags, False)
    assert tagged_frames(by_hand) == [2, 7, 8] and tagged_frames(by_hand, 1) == [7]
    assert training_frames(by_hand) == [2, 7, 8]
    assert training_frames(generated, 4) == spread(10, 4)


def test_without_a_tagged_frame_all_are_taken():
    assert training_frames(_Scene(4, {}, True)) == [0, 1, 2, 3] and tagged_frames(_Scene(4, {}, True)) == []
