"""Plain and exact steps beside PyTorch's and JAX's: `python benchmark/peers/compare.py`.

Development only. The package's Python runs it; `pip install -r benchmark/peers/requirements.txt`
into that, or into environments of their own:

    python benchmark/peers/compare.py --torch=ENV/bin/python --jax=ENV/bin/python

Per network and kind of step, one process per framework starts from the same weights and batch of
digits; its first step is compared (distance over length, of the gradient of all weights and of the
move of lambda's logits), then slices of steps are timed in turn. The first call has what is traced
and compiled; memory is the most that the process ever held.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile

from peer_ours import BATCHES

HERE = pathlib.Path(__file__).parent


class Worker:
    """A process that runs `worker.py`."""

    def __init__(self, python, *words):
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self._process = subprocess.Popen([python, str(HERE / "worker.py"), *words], **pipes)
        self.first = self._read()

    def seconds(self, steps):
        """Returns seconds per step, of the clock and of all processors."""
        self._process.stdin.write(f"{steps}\n")
        self._process.stdin.flush()
        return self._read()

    def close(self):
        """Ends it; returns the MiB that it held at most."""
        self._process.stdin.close()
        peak = self._read()
        self._process.wait()
        return peak

    def _read(self):
        return json.loads(self._process.stdout.readline())


def compared(pythons, architecture, kind, rounds, seconds):
    """Yields what was found of each framework, ours first."""
    with tempfile.TemporaryDirectory() as folder:
        path = str(pathlib.Path(folder) / "case.npz")
        workers = {
            name: Worker(python, name, architecture, kind, path) for name, python in pythons.items()
        }
        counts = {}
        for name, each in workers.items():
            counts[name] = max(1, round(seconds / each.seconds(1)[0]))
        times = {name: [] for name in workers}
        for _ in range(rounds):
            for name, each in workers.items():
                times[name].append(each.seconds(counts[name]))
        for name, each in workers.items():
            found = {"framework": name, "network": architecture, "kind": kind}
            for place, what in enumerate(("ms", "processor_ms")):
                own = [1000 * slice[place] for slice in times[name]]
                ours = [1000 * slice[place] for slice in times["ours"]]
                to_ours = [mine / yours for mine, yours in zip(own, ours, strict=True)]
                found |= {what: summary(own), f"{what}_to_ours": summary(to_ours)}
            yield found | {"peak_mib": each.close()} | each.first


def summary(values):
    """Returns the median, the smallest and the largest."""
    return [round(each, 2) for each in (statistics.median(values), min(values), max(values))]


def main():
    """Prints one line of JSON per network, kind and framework."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    for name in ("torch", "jax"):
        parser.add_argument(f"--{name}", default=sys.executable, help=f"a Python with {name}")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=1.0, help="of a slice")
    given = parser.parse_args()
    pythons = {"ours": sys.executable, "torch": given.torch, "jax": given.jax}
    for architecture in BATCHES:
        for kind in ("plain", "exact"):
            found = compared(pythons, architecture, kind, given.rounds, given.seconds)
            for line in found:
                print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
