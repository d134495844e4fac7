import dataclasses
import json
import os
import re
import shutil
import signal

import pytest
import tensorflow as tf
from PIL import Image

import tf_metamixup as tmm
from tests.outcome import result_of
from tf_metamixup import experiment, main, methods, predict
from tf_metamixup.benchmark import __main__ as benchmark
from tf_metamixup.config import DataInfo
from tf_metamixup.core.errors import UserError
from tf_metamixup.export import litert, of_run
from tf_metamixup.figures import __main__ as figures
from tf_metamixup.report import __main__ as report
from tf_metamixup.report import paper


@pytest.fixture
def run(capsys):
    """Runs a command line in this process: (exit code, stdout, stderr)."""

    def call(*arguments):
        code = main.main(["main", *arguments])
        return code, *capsys.readouterr()

    return call


@pytest.fixture
def refused(run, tmp_path):
    """Runs a command line that is an error; its one message, and nothing else is reported."""

    def call(code, *arguments):
        actual, out, err = run(f"--run_dir={tmp_path}/run", *arguments)
        assert actual == code, err
        assert out == ""
        lines = [line for line in err.splitlines() if line != "(--help lists all flags)"]
        assert lines[0].startswith("error: ")
        assert "Traceback" not in err
        assert not (tmp_path / "run" / "result.json").exists()
        return "\n".join(lines)

    return call


CHECK = {"same_class": 100.0, "images": 10}
TINY = ("--architecture=cnn3(width=2)", "--policy=none", "--noexport")


@pytest.mark.parametrize(
    ("arguments", "reported"),
    [
        (["--nosuch=1"], ["nosuch"]),
        (["--polcy=beta"], ["polcy", "policy"]),  # did you mean
        (["--epochs=many"], ["epochs", "many"]),
        (["--epochs=0"], ["--epochs=0", "at least 1"]),
        (["--mode=xl"], ["mode", "xl", "sl", "ssl"]),
        (["--export=perhaps"], ["export", "perhaps"]),
        (["--flip=no"], ["--flip=no must be true or false: write --flip or --noflip"]),
        (["--noflip=false"], ["--noflip=false does not take", "--NAME or --noNAME"]),
        (["--epochs=1e3"], ["--epochs=1e3 must be an integer"]),
        (["--learning_rate=0,1"], ["--learning_rate=0,1 must be a number"]),
        (["--mode=SSL"], ["--mode=SSL must be one of sl, ssl (did you mean 'ssl'?)"]),
        (["--lr=0.1"], ["unknown flag --lr; did you mean --learning_rate?"]),
        (["--batch-size=3"], ["did you mean --batch_size?"]),
        (["--policy=metamixup"], ["did you mean 'meta'", "\"meta(estimator='nested')\""]),
        (["--policy=mixup"], ["did you mean 'beta'?"]),
        (["--policy=None"], ["did you mean 'none'?"]),
        (["--method=meta"], ["did you mean 'supervised' with policy 'meta'?"]),
        (["--method=MetaMixUp + APL"], ["'pseudo_label(decay=0.05)' with policy \"meta("]),
        (["--method=Pi-Model"], ["did you mean 'pi_model'?"]),
        (["--architecture=resnet18"], ["did you mean 'preact_resnet18'?"]),
        (["--architecture=WRN-28-10"], ["did you mean 'wrn_28_10'?"]),
        (["--mode=sl", "--method=mixmatch"], ["--method=mixmatch", "use --mode=ssl"]),
        (["--method=pseudo_label(decay=0.05)"], ["unlabelled images", "use --mode=ssl"]),
        (["--litert=int4"], ["litert", "int4", "float32", "int8", "both"]),
        (["--litert=int8", "--noexport"], ["--litert=int8", "--noexport"]),
        (["digits"], ["'digits'", "--name=value"]),
        (["--flagfile=/nowhere.flags"], ["cannot read the flagfile /nowhere.flags: No such file"]),
        (["--method=nosuch"], ["'nosuch'", "pseudo_label", "supervised"]),
        (["--policy=nosuch"], ["'nosuch'", "beta", "fixed", "meta", "none"]),
        (["--architecture=nosuch"], ["'nosuch'", "cnn3", "wrn_28_10"]),
        (["--architecture=cnn3(depth=3)"], ["'depth'", "width=32", "batch_norm=False"]),
        (["--method=pseudo_label(sigma=1)"], ["'sigma'", "threshold=0.95", "period=30"]),
        (["--method=pseudo_label(threshold=2)"], ["threshold=2", "[0, 1]"]),
        (["--policy=beta('a')"], ["'a'", "float"]),
        (["--policy=beta("], ["'beta('", "name(option=value, ...)"]),
        (["--policy=fixed(1, 2)"], ["option=value"]),
        (["--method=vat", "--mixed_bfloat16"], ["Vat", "xi is below what bfloat16 tells apart"]),
        (
            ["--policy=beta", "--meta_bfloat16"],
            ["--meta_bfloat16 with --policy=beta has no effect", "beta"],
        ),
        (
            ["--policy=none", "--diagnostics"],
            ["--diagnostics with --policy=none has no effect", "none"],
        ),
        (["--jit", "--replicas=2"], ["one device", "2 replicas"]),
        (
            ["--dataset=folder:photos", "--data_dir=/d"],
            ["--data_dir=/d is for TFDS data sets", "--dataset=folder:photos says itself"],
        ),
        (["--dataset=cifar11"], ["'cifar11'", "did you mean 'cifar10'", "digits", "folder:DIR"]),
    ],
)
def test_bad_flags_and_names_are_reported_with_what_is_known(refused, arguments, reported):
    message = refused(2, *arguments)
    for part in reported:
        assert part in message


@pytest.mark.parametrize(
    ("arguments", "reported"),
    [
        (["--dataset=folder:/nowhere"], ["/nowhere/train is not a folder", "CLASS"]),
        (
            ["--mode=ssl", "--num_labels=1400"],
            ["--num_labels=1400", "needs 140 labelled images of the class"],
        ),
        (["--num_meta=9"], ["--num_meta=9", "10 classes", "--num_meta=10 or more"]),
        (
            ["--num_meta=1430"],
            ["--num_meta=1430 needs 143 meta images of the class", "lower the number"],
        ),
        (["--batch_size=2000"], ["larger than the 1337 labelled images; lower --batch_size"]),
        (["--image_size=4"], ["8x8"]),
        (["--image_size=20000"], ["--image_size=20000", "669 GiB", "8 GiB are kept in memory"]),
        (["--architecture=cnn3(width=0)"], ["width=0"]),
        (["--architecture=wrn(depth=11)"], ["depth=11"]),
        (["--num_meta=10", "--row_groups=20", "--batch_size=20"], ["num_meta"]),
    ],
)
def test_what_the_data_do_not_allow_is_reported(refused, arguments, reported):
    message = refused(1, *arguments)
    for part in reported:
        assert part in message


def test_data_that_are_not_there_and_have_no_network_are_reported(refused, tmp_path, monkeypatch):
    from tf_metamixup.data import tfds_source

    monkeypatch.setattr(tfds_source, "unreachable", lambda url: f"{url} cannot be reached")
    message = refused(1, "--dataset=cifar10", f"--data_dir={tmp_path}/empty")
    for part in ("cifar10", "cannot be reached", "--data_dir", "cifar-10-binary.tar.gz"):
        assert part in message


def test_a_file_where_the_run_directory_should_be_is_reported(run, tmp_path):
    (tmp_path / "file").write_text("")
    code, out, err = run(*TINY, f"--run_dir={tmp_path}/file")
    assert (code, out) == (1, "")
    assert f"\nerror: cannot write into the run directory {tmp_path}/file" in err


def test_a_loss_that_is_not_finite_is_reported_with_its_step(run, tmp_path):
    flags = ("--learning_rate=1e6", "--epochs=1", "--batch_size=100", f"--run_dir={tmp_path}/run")
    code, out, err = run(*TINY, *flags)
    assert (code, out) == (1, "")
    assert re.search(
        r"^error: the loss is (nan|inf) at step \d+; there is no checkpoint", err, re.M
    )
    assert "Traceback" not in err
    result = result_of(tmp_path / "run")
    assert (result["status"], result["test_error"]) == ("failed", None)


def test_a_network_that_litert_cannot_convert_is_reported_before_it_is_trained(
    refused, monkeypatch
):
    def refuse(saved_model):
        os.write(2, b"what the converter says")
        raise UserError("LiteRT cannot convert this network")

    monkeypatch.setattr(litert, "convert", refuse)
    message = refused(1, *TINY, "--export", "--litert=int8", "--batch_size=100")
    assert message == "error: LiteRT cannot convert this network"


def test_help_lists_the_flags_by_group(run, capsys):
    with pytest.raises(SystemExit) as done:
        run("--help")
    assert done.value.code == 0
    shown = capsys.readouterr().out
    for part in ("data:", "training:", "run:", "--dataset", "--run_dir", "--max_steps"):
        assert part in shown
    assert shown.count("--flagfile:") == 1


@pytest.mark.parametrize("command", [main, report, figures, predict, benchmark])
def test_every_command_tells_its_version(command, capsys):
    try:
        code = command.main(["command", "--version"])
    except SystemExit as ended:
        code = ended.code
    assert (code, *capsys.readouterr()) == (0, f"tf_metamixup {tmm.__version__}\n", "")


@pytest.mark.parametrize(
    "name", [name for rows in paper.ROWS.values() for name in rows if "=" not in name]
)
def test_the_papers_names_of_rows_are_reported_what_to_write(name):
    try:
        methods.parse(name)
    except UserError as error:
        assert "did you mean" in str(error)


def test_a_flagfile_gives_flags(tmp_path):
    (tmp_path / "f.flags").write_text("--epochs=7\n# a comment\n--policy=beta(0.5)\n")
    config = main.parse(["main", f"--flagfile={tmp_path}/f.flags", "--seed=4"])
    assert (config.epochs, config.policy, config.seed) == (7, "beta(0.5)", 4)


def test_equal_things_are_spelt_alike():
    parsed = main.parse(["main", "--policy=beta(alpha=1)", "--architecture=cnn3( width = 32 )"])
    named = main.parse(["main", "--policy=beta", "--architecture=cnn3"])
    assert experiment.canonical(parsed).identity() == experiment.canonical(named).identity()


@pytest.mark.parametrize(
    "flags",
    [
        ["--policy=beta( 0.5 )", "--seed=4", "--learning_rate=0.05", "--data_dir=/d"],
        ["--dataset=cifar10", "--mode=ssl", "--include_labelled", "--num_meta=70", "--noflip"],
        ["--dataset=folder:my photos", "--shift=2", "--batch_size=30", "--replicas=2"],
        ["--select=best", "--evaluate_every=5", "--val_fraction=0.1"],
        ["--optimizer=adam", "--learning_rate=0.1"],
        ["--dataset=folder:photos", "--mode=ssl", "--method=mixmatch", "--mix_until=0.8"],
    ],
)
def test_the_command_of_a_run_repeats_it(flags):
    config = experiment.canonical(main.parse(["main", *flags]))
    config = config.resolve(replicas=config.replicas or 1)
    config = config.resolve(data=DataInfo(classes=10, examples=5000, flip=True))
    config = experiment.canonical(config)
    python, option, module, *arguments = main.command_of(config)
    assert (python, option, module) == ("python", "-m", "tf_metamixup.main")
    again = experiment.canonical(main.parse(["main", *arguments])).resolve(replicas=config.replicas)
    assert again.identity() == config.identity()
    assert not [word for word in arguments if word.startswith(("--data_dir", "--run_dir"))]


def test_a_model_of_an_earlier_run_in_the_folder_is_replaced(run, tmp_path):
    folder = tmp_path / "run"
    arguments = [f"--run_dir={folder}", *TINY[:2], "--epochs=1", "--batch_size=500", "--pictures=0"]
    for seed in (0, 5):
        assert run(*arguments, f"--seed={seed}")[0] == 0
        assert f"| seed | `{seed}` |" in (folder / "saved_model" / "README.md").read_text()
        shutil.rmtree(folder / "checkpoints")
        for path in folder.glob("*.json"):
            path.unlink()


@pytest.mark.filterwarnings("ignore:run directory .* holds the result")
def test_a_finished_run_without_checkpoints_still_gives_litert_models(run, tmp_path, monkeypatch):
    made = []
    monkeypatch.setattr(of_run, "require_litert", lambda *_: None)
    monkeypatch.setattr(
        of_run, "_export_litert", lambda wanted, *_: made.append(wanted) or {"int8": CHECK}
    )
    command = [f"--run_dir={tmp_path}", *TINY[:2], "--epochs=1", "--batch_size=500", "--pictures=0"]
    assert run(*command)[0] == 0
    shutil.rmtree(tmp_path / "checkpoints")
    code, out, err = run(*command, "--litert=int8")
    assert (code, made) == (0, [["int8"]]), err
    assert "LiteRT" not in out  # since no file is there
    shutil.rmtree(tmp_path / "saved_model")
    assert run(*command, "--litert=int8")[0] == 0 and len(made) == 1


@pytest.mark.filterwarnings("ignore:there are no test images")
def test_litert_without_images_to_compare_on_is_refused_before_training(refused, tmp_path):
    for label in ("red", "blue"):
        path = tmp_path / "photos" / "train" / label / "0.png"
        path.parent.mkdir(parents=True)
        Image.new("RGB", (8, 8), label).save(path)
    data = f"--dataset=folder:{tmp_path}/photos"
    message = refused(1, *TINY[:2], data, "--litert=float32")
    assert "--litert compares what it writes on test or validation images" in message


def test_every_setting_has_a_flag_with_help(capsys):
    with pytest.raises(SystemExit):
        main.parse(["main", "--help"])
    text = capsys.readouterr().out
    for field in dataclasses.fields(main.Config):
        assert f"{field.name}: " in text or f"[no]{field.name}: " in text
        assert len(field.metadata["help"]) > 5


def test_a_signal_before_training_is_said_and_the_handlers_are_put_back(run, monkeypatch):
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(main, "train", lambda _: None)
    assert run(*TINY)[0] == 0
    assert signal.getsignal(signal.SIGTERM) is before
    monkeypatch.setattr(main, "train", lambda _: signal.raise_signal(signal.SIGTERM))
    code, _, err = run(*TINY)
    assert (code, err.split(";")[0]) == (128 + signal.SIGTERM, "stopped by SIGTERM")
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_run_is_stopped_refused_to_others_resumed_and_finished(run, tmp_path):
    command = (*TINY, "--batch_size=100", "--epochs=2", f"--run_dir={tmp_path}/run")
    with pytest.warns(UserWarning, match="--warmup_steps=100 is longer than the run"):
        code, out, _ = run(*command, "--max_steps=5")
    assert code == 0
    assert out.startswith("stopped: 5 steps")
    assert "--max_steps" in out
    splits = (tmp_path / "run" / "splits.json").read_bytes()

    code, out, err = run(*command, "--seed=1", "--weight_decay=0.5", "--max_steps=6")
    assert (code, out) == (1, "")
    assert "seed: 0 there, 1 here; weight_decay: 0.0001 there, 0.5 here" in err
    assert "max_steps" not in err
    assert (tmp_path / "run" / "splits.json").read_bytes() == splits

    # None of these makes another run.
    free = ("--log_every=3", "--evaluate_every=2", "--checkpoint_every=2", "--data_dir=/nowhere")
    code, out, _ = run(*command, *free)
    assert code == 0
    assert out.startswith("finished: 26 steps")

    result = result_of(tmp_path / "run")
    assert result["parameters"] == 554
    assert result["labels_used"] == 1337
    assert result["class_errors"].keys() == {*"0123456789"}
    assert result["test_error_macro"] == pytest.approx(sum(result["class_errors"].values()) / 10)
    assert [entry["epoch"] for entry in result["history"]] == [1, 2]
    assert result["history"][0]["lambda_move_mean"] == 0
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["settings"]["architecture"] == "cnn3(width=2)"
    assert config["settings"]["num_meta"] == 100
    assert "tensorflow" in config["versions"]
    parts = json.loads(splits)
    assert [len(parts[name]) for name in ("labelled", "unlabelled", "meta")] == [1337, 0, 100]


def test_deterministic_asks_tensorflow_for_it(run, tmp_path, monkeypatch):
    asked = []
    switch = "enable_op_determinism"
    monkeypatch.setattr(tf.config.experimental, switch, lambda: asked.append(True))
    for flags in ([], ["--deterministic"]):
        code, _, err = run("--dataset=nowhere", f"--run_dir={tmp_path}/run", *flags)
        assert (code, "unknown data set" in err) == (2, True)
    assert asked == [True]


def test_a_run_whose_folder_has_changed_is_refused_even_when_it_is_finished(run, tmp_path):
    for split, count in (("train", 8), ("test", 1)):
        for label, color in (("red", "red"), ("blue", "blue")):
            (tmp_path / split / label).mkdir(parents=True)
            for n in range(count):
                image = Image.new("RGB", (8, 8), color)
                image.putpixel((n, 0), (9, 9, 9))
                image.save(tmp_path / split / label / f"{n}.png")
    command = (*TINY[::2], f"--dataset=folder:{tmp_path}", "--batch_size=4", "--epochs=2")
    command = (*command, f"--run_dir={tmp_path}/run")
    moved, back = tmp_path / "train" / "red" / "0.png", tmp_path / "train" / "blue" / "9.png"
    for steps, reported in (("--max_steps=1", "stopped"), ("--max_steps=100", "finished")):
        code, out, err = run(*command, steps)
        assert (code, out.split(":")[0]) == (0, reported), err
        assert "8 steps of 4 (2 epochs)\nmixing stops after 7 steps (--mix_until=0.8)\n" in err
        moved.rename(back)
        code, out, err = run(*command)
        assert (code, out) == (1, "")
        assert "1 moved (train/red/0.png to train/blue/9.png)" in err
        back.rename(moved)
