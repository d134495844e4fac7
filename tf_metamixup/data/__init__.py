"""Data: sources, splits, augmentation, and streams that are functions of seed and step.

>>> parts = streams(load("digits"), batch_size=50, num_meta=100)
>>> parts["labelled"].batch_size, len(parts["meta"].labels)
(50, 100)
"""

from tf_metamixup.data.dataset_stream import DatasetStream
from tf_metamixup.data.images import Audited, InMemory, Source
from tf_metamixup.data.joined_stream import JoinedStream
from tf_metamixup.data.label_noise import parse as parse_noise
from tf_metamixup.data.pipeline import ArrayStream, FileStream
from tf_metamixup.data.prepare import prepare, streams
from tf_metamixup.data.prepared import Prepared
from tf_metamixup.data.scaling import scale
from tf_metamixup.data.sources import folder, load, register, table
from tf_metamixup.data.stream import Stream

__all__ = [
    "ArrayStream",
    "Audited",
    "DatasetStream",
    "FileStream",
    "InMemory",
    "JoinedStream",
    "Prepared",
    "Source",
    "Stream",
    "folder",
    "load",
    "parse_noise",
    "prepare",
    "register",
    "scale",
    "streams",
    "table",
]
