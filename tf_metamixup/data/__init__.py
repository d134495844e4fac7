"""Data: sources, splits, augmentation, and streams that are functions of seed and step."""

from tf_metamixup.data.dataset_stream import DatasetStream
from tf_metamixup.data.images import InMemory, Source
from tf_metamixup.data.pipeline import ArrayStream, FileStream, Stream
from tf_metamixup.data.prepare import Prepared, prepare, streams
from tf_metamixup.data.scaling import scale
from tf_metamixup.data.sources import folder, load, register, table

__all__ = [
    "ArrayStream",
    "DatasetStream",
    "FileStream",
    "InMemory",
    "Prepared",
    "Source",
    "Stream",
    "folder",
    "load",
    "prepare",
    "register",
    "scale",
    "streams",
    "table",
]
