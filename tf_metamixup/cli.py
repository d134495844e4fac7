"""What all commands share: flags, mistakes in plain words, exit codes."""

import dataclasses
import errno
import os
import re
import sys
import typing
import warnings
from collections.abc import Callable, Collection
from typing import Any, NoReturn

from absl import flags

from tf_metamixup import __version__
from tf_metamixup.config import Config
from tf_metamixup.config.defaults import is_own
from tf_metamixup.config.fields import GROUPS
from tf_metamixup.core import flagfiles
from tf_metamixup.core.errors import BackendError, UnknownNameError, UserError, reason
from tf_metamixup.core.suggestions import did_you_mean, plain, suggest
from tf_metamixup.distribution.startup import start_tensorflow

FINISHED, FAILED, BAD_FLAGS = 0, 1, 2
PARSERS = {int: flags.IntegerParser, float: flags.FloatParser, str: flags.ArgumentParser}

# What other programs call a flag, and what it is called here.
ALIASES = {
    "lr": "learning_rate",
    "wd": "weight_decay",
    "bs": "batch_size",
    "arch": "architecture",
    "model": "architecture",
    "network": "architecture",
    "data": "dataset",
    "steps": "max_steps",
    "gpus": "replicas",
    "labels": "num_labels",
    "out": "run_dir",
    "outputdir": "run_dir",
    "logdir": "run_dir",
    "resume": "run_dir",
}


def execute(command: Callable[[list[str]], int]) -> NoReturn:
    """Runs a command as a program: warnings are lines, and its exit code is the program's."""
    warnings.showwarning = lambda message, *_, **__: print(f"warning: {message}", file=sys.stderr)
    sys.exit(command(sys.argv))


def exit_code(parse: Callable[[], Any], run: Callable[[Any], int | None]) -> int:
    """Runs a command and returns its exit code; a user's mistake is one message on stderr.

    Args:
        parse: reads the command line; what it refuses exits with 2.
        run: takes what `parse` returned; returns an exit code, None for 0.
    """
    hint, code = "\n(--help lists all flags)", BAD_FLAGS
    try:
        args = parse()
        hint, code = "", FAILED
        return run(args) or FINISHED
    except BackendError as error:
        print(f"error: {error}", file=sys.stderr)
        return FAILED
    except UserError as error:
        print(f"error: {error}{hint}", file=sys.stderr)
        return BAD_FLAGS if isinstance(error, UnknownNameError) else code
    except BrokenPipeError:
        # What read the output has seen enough; Python would complain once more as it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        print(f"error: {reason(error)}; make room and start again", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        return 130


def define_flags(values: flags.FlagValues, names: Collection[str] | None = None) -> None:
    """Defines a flag for each field of Config, or for those in `names`."""
    groups = {field.name: name for name, g in GROUPS.items() for field in dataclasses.fields(g)}
    for field in dataclasses.fields(Config):
        if names is not None and field.name not in names:
            continue
        kind, *_ = typing.get_args(field.type) or (field.type,)  # `int | None`, say
        described = field.name, field.default, field.metadata["help"]
        common = {"flag_values": values, "module_name": groups[field.name]}
        if kind is bool:
            flags.DEFINE_boolean(*described, **common)
            continue
        choices = field.metadata["choices"]
        parser = flags.EnumParser(choices) if choices else PARSERS[kind]()
        flags.DEFINE(parser, *described, **common)


def config_of(values: flags.FlagValues) -> Config:
    """Returns the Config that the flags in `values` make, with the defaults of its mode.

    Raises:
        UserError: a value that is not allowed.
    """
    names = [field.name for field in dataclasses.fields(Config) if field.name in values]
    config = Config(**{name: values[name].value for name in names})
    if config.data_dir is None and not is_own(config.dataset):
        config = dataclasses.replace(config, data_dir=os.environ.get("TFDS_DATA_DIR"))
    return config.resolve()


def settle(config: Config) -> Config:
    """Returns `config` in canonical spelling; TensorFlow starts here, once the flags are read.

    Raises:
        UserError: an unknown name or option.
    """
    start_tensorflow()
    from tf_metamixup import experiment

    return experiment.canonical(config)


class _FlagFiles(flags.FlagValues):
    """Reads flagfiles, and those named in them, wherever `flagfiles.find` has them."""

    def _get_flag_file_lines(self, filename, parsed_file_stack=None):
        return super()._get_flag_file_lines(flagfiles.find(filename), parsed_file_stack)


def as_typed(text: str, argv: list[str]) -> str:
    """Returns `text` with the names of commands as in `argv`: `metamixup train`, say."""
    program, _, command = argv[0].rpartition(" ")
    if not program.endswith("metamixup") or not command.isalpha():
        return text
    renamed = {"main": "train", "report.audit": "audit"}
    return re.sub(
        r"python -m tf_metamixup\.(report\.audit|\w+)",
        lambda found: f"{program} {renamed.get(found[1], found[1])}",
        text,
    )


def read_flags(
    values: flags.FlagValues, argv: list[str], about: str, *, operands: bool = False
) -> list[str]:
    """Gives `values` what the command line says; `--help` and `--version` print and exit.

    `about` says what the program does; with `operands` there may be more than flags, which is
    returned.

    Raises:
        UserError: an unknown flag, a value of another type, an argument that is not taken.
    """
    common = {"flag_values": values, "module_name": "run"}
    flags.DEFINE_boolean("help", False, "show this", **common)
    flags.DEFINE_boolean("version", False, "show the version", **common)
    # absl reads --flagfile and --undefok through flags of these names.
    flags.DEFINE_string("flagfile", "", "file with one flag per line", **common)
    flags.DEFINE_string("undefok", "", "flags that may be unknown", **common)
    try:
        rest = values([argv[0], *_FlagFiles().read_flags_from_files(argv[1:])])[1:]
    except flags.UnrecognizedFlagError as error:
        raise UserError(_unknown(values, error.flagname)) from None
    except flags.IllegalFlagValueError as error:
        raise UserError(_illegal(values, error)) from None
    except ValueError as error:  # of --noflip=false, or of a flagfile that is no text
        raise UserError(f"{error}; a switch is written --NAME or --noNAME") from None
    except flags.CantOpenFlagFileError as error:
        found = error.__context__  # the OSError
        raise UserError(f"cannot read the flagfile {found.filename}: {reason(found)}") from None
    except flags.Error as error:
        raise UserError(str(error)) from None
    if values["version"].value:
        print(f"tf_metamixup {__version__}")
        sys.exit(FINISHED)
    if values["help"].value:
        # absl describes its own two once more.
        print(f"{as_typed(about, argv)}\n{values.get_help().partition('absl.flags:')[0]}")
        sys.exit(FINISHED)
    if rest and not operands:
        raise UserError(f"unexpected argument {rest[0]!r}; flags are written --name=value")
    return rest


def _unknown(values: flags.FlagValues, name: str) -> str:
    aliases = {alias: f"--{flag}" for alias, flag in ALIASES.items() if flag in values}
    meant = aliases.get(plain(name)) or suggest(name, [f"--{flag}" for flag in values], aliases)
    hint = f"; did you mean {meant}?" if meant else "; --help lists all flags"
    return f"unknown flag --{name}{hint}".replace("'", "")


def _illegal(values: flags.FlagValues, error: flags.IllegalFlagValueError) -> str:
    """Returns what absl says of a value, in the words of `Config`'s messages."""
    name = str(error).removeprefix("flag --").partition("=")[0]
    if name not in values:
        return str(error)
    value = str(error).removeprefix(f"flag --{name}=").removesuffix(f": {error.__context__}")
    parser, kind = values[name].parser, values[name].flag_type()
    if kind == "bool":
        return f"--{name}={value} must be true or false: write --{name} or --no{name}"
    if kind == "string enum":
        allowed = parser.enum_values
        expected = f"must be one of {', '.join(allowed)}{did_you_mean(value, allowed)}"
    else:  # such as "a positive integer"
        expected = f"must be {parser.syntactic_help}"
    return f"--{name}={value} {expected}"
