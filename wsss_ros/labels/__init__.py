"""Label spaces: class names, colours and the ids of a data set; label files; tags as multi-hot vectors."""

from wsss_ros.labels.label_file import SHIPPED, labels_named, read_label_file, s3dis, scannet20
from wsss_ros.labels.names import key_of, nearest
from wsss_ros.labels.space import ABSENT, NOT_JUDGED, RECOMMENDED, UNLABELLED, LabelSpace, TagList

__all__ = [
    "ABSENT",
    "NOT_JUDGED",
    "RECOMMENDED",
    "SHIPPED",
    "UNLABELLED",
    "LabelSpace",
    "TagList",
    "key_of",
    "labels_named",
    "nearest",
    "read_label_file",
    "s3dis",
    "scannet20",
]
