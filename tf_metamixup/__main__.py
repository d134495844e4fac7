"""The console command `metamixup`, also `python -m tf_metamixup`: starts one of the commands."""

import os
import runpy
import sys

from tf_metamixup import __version__
from tf_metamixup.core.suggestions import did_you_mean

# Command -> module, and what it does.
COMMANDS = {
    "train": ("tf_metamixup.main", "train a classifier; the same command resumes a run"),
    "predict": ("tf_metamixup.predict", "classify image files with an exported SavedModel"),
    "report": ("tf_metamixup.report", "tabulate runs and the paper's numbers"),
    "audit": ("tf_metamixup.report.audit", "find the labels of a run that are wrong"),
    "figures": ("tf_metamixup.figures", "draw the paper's figures from runs"),
    "benchmark": ("tf_metamixup.benchmark", "time the meta step and MixUp's"),
}
BAD_COMMAND = 2


def main() -> int:
    """Runs the command line; returns the exit code, unless the command exits itself."""
    path, *words = sys.argv
    program = "python -m tf_metamixup" if path.endswith(".py") else os.path.basename(path)
    command, *rest = words or ["--help"]
    if command in ("--help", "-h", "help"):
        print(usage(program))
        return 0 if words else BAD_COMMAND
    if command == "--version":
        print(f"tf_metamixup {__version__}")
        return 0
    if command not in COMMANDS:
        print(f"error: {_hint(program, command)}\n\n{usage(program)}", file=sys.stderr)
        return BAD_COMMAND
    # By name and as a program, so that nothing is imported before it is needed.
    sys.argv = [f"{program} {command}", *rest]
    runpy.run_module(COMMANDS[command][0], run_name="__main__")
    return 0


def usage(program: str) -> str:
    """Returns the text of `--help`."""
    return (
        f"usage: {program} COMMAND [--FLAG=VALUE...]\n\n"
        + "\n".join(f"  {name:<11}{about}" for name, (_, about) in COMMANDS.items())
        + f"\n\n{program} COMMAND --help lists the flags of a command.\n"
        f"{program} --version prints the version."
    )


def _hint(program: str, command: str) -> str:
    if command.startswith("-"):
        return f"a command comes first: {program} train {command}"
    return f"unknown command {command!r}{did_you_mean(command, COMMANDS)}"


if __name__ == "__main__":
    sys.exit(main())
