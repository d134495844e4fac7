"""Methods: which examples and targets are trained on, and with which loss. One file a method."""

from tf_metamixup import registry
from tf_metamixup.methods.method import METHODS, Method

registry.discover(__name__, __path__)

make = METHODS.make
names = METHODS.names
parse = METHODS.parse

__all__ = ["METHODS", "Method", "make", "names", "parse"]
