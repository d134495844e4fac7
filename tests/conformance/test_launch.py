"""The scripts that print commands: all parse, and a table's commands are the paper's cells."""

import collections
import json
import os
import pathlib
import re
import shlex
import subprocess

import pytest
import yaml

from tests.conformance.test_documents import ROOT
from tf_metamixup import experiment, main, methods
from tf_metamixup.config import DataInfo
from tf_metamixup.report import paper
from tf_metamixup.report.__main__ import departures
from tf_metamixup.runs import results

TABLES = (1, 2, 3, 4, 5)
# Training images and classes.
SIZES = {
    "digits": (1437, 10),
    "mnist": (60_000, 10),
    "fashion_mnist": (60_000, 10),
    "svhn_cropped": (73_257, 10),
    "cifar10": (50_000, 10),
    "cifar100": (50_000, 100),
    "imagenet2012": (1_281_167, 1000),
}


def launch(table, *arguments):
    name = f"table{table}" if table in TABLES else table
    return subprocess.run(
        ["bash", ROOT / "launch" / f"{name}.sh", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


def configs(table, *arguments):
    for line in launch(table, *arguments).stdout.splitlines():
        python, module, *flags = shlex.split(line)[:1] + shlex.split(line)[2:]
        assert (python, module) == ("python", "tf_metamixup.main")
        config = experiment.canonical(main.parse(["main", *flags]))
        examples, classes = SIZES[config.dataset]
        yield config.resolve(data=DataInfo(classes=classes, examples=examples, flip=True))


def settings(config):
    return {name: getattr(config, name) for name in config.__dataclass_fields__}


@pytest.mark.parametrize("table", TABLES)
def test_commands_are_the_cells_of_the_table_by_the_papers_protocol(table, monkeypatch):
    monkeypatch.chdir(ROOT)
    made = [settings(config) for config in configs(table, "--seeds=1")]
    cells = [cell for cell in paper.cells() if cell.table == table]
    for cell in cells:
        assert sum(paper.belongs(config, cell) for config in made) == 1, cell
    for config in made:
        assert any(paper.belongs(config, cell) for cell in cells), config
        assert not departures(config)


@pytest.mark.parametrize("table", TABLES)
def test_every_command_has_a_run_directory_and_a_seed_of_its_own(table, monkeypatch):
    monkeypatch.chdir(ROOT)
    one, lines = (launch(table, f"--seeds={n}").stdout.splitlines() for n in (1, 2))
    folders = [next(w for w in line.split() if w.startswith("--run_dir")) for line in lines]
    assert len(set(folders)) == len(lines) == 2 * len(one)
    assert all(f.startswith(f"--run_dir=runs/table{table}/") for f in folders)
    assert {line.split("--seed=")[1][0] for line in lines} == {"0", "1"}


def test_a_run_with_other_flags_is_not_taken_for_one_without(monkeypatch):
    monkeypatch.chdir(ROOT)

    def folders(*given):
        return [config.run_dir for config in configs("noise_study", "--seeds=1", *given)]

    plain, other = folders(), folders("--ema=0.99")
    assert other == [f.replace("-seed", "-ema_0.99-seed") for f in plain]
    assert folders("--data_dir=/data") == plain  # the same images elsewhere


def test_rows_of_the_noise_study_that_mix_can_stop_early(monkeypatch):
    monkeypatch.chdir(ROOT)
    given = ([], ["--mix_until=0.8"])
    plain, early = (list(configs("noise_study", "--seeds=1", *more)) for more in given)
    assert {config.policy for config in plain} - {config.policy for config in early} == {"none"}
    assert all(config.mix_until == 0.8 for config in early)


@pytest.mark.parametrize("table", TABLES)
def test_help_says_how_many_steps_a_run_has(table, monkeypatch):
    monkeypatch.chdir(ROOT)
    reported = launch(table, "--help").stdout
    assert "usage" in reported and "GPU-hours" in reported
    for config in configs(table, "--seeds=1"):
        left = SIZES[config.dataset][0] - config.num_meta - (config.num_labels or 0)
        steps = left // config.batch_size * config.epochs
        assert f"{steps:,}" in reported, (config.dataset, config.num_labels, steps)


def test_the_fashion_study_has_nine_rows_of_2000_steps_and_falls_a_sixth_of_the_run(monkeypatch):
    monkeypatch.chdir(ROOT)
    made = list(configs("fashion_ssl", "--seeds=1"))
    names = [paper.row_name("ssl", config.method, config.policy) for config in made]
    assert len(set(names)) == 9 and None not in names
    for config in made:
        epoch = (config.train_examples - config.num_labels) // config.batch_size
        assert epoch * config.epochs == 2000
        if "decay" in config.method and "pseudo" in config.method:
            assert round(config.epochs / 6) == 7 and "period=7" in config.method
    assert len(launch("fashion_ssl").stdout.splitlines()) == 27


def test_semi_supervised_rows_take_equal_steps_on_equal_pools(monkeypatch):
    monkeypatch.chdir(ROOT)
    made = list(configs("semi_supervised", "--seeds=1"))
    assert len({config.run_dir for config in made}) == len(made) == 7 * 9
    for config in made:
        others = config.train_examples - config.num_labels
        if config.labelled_classes:
            others += others * (10 - config.labelled_classes) // config.labelled_classes
        assert others in (22_500, 30_000) and config.batch_size <= config.num_labels
        steps = others // (config.batch_size * config.unlabelled_ratio) * config.epochs
        assert 0.995 <= steps / {22_500: 2250, 30_000: 6000}[others] <= 1
        assert (config.schedule, config.learning_rate) == ("cosine", 0.03)
        assert paper.row_name("ssl", config.method, "none") or "decay" in config.method
        assert methods.averaging(methods.make(config.method), config.ema) == (0.999, True)


def test_policies_of_semi_supervised_training_are_compared_at_equal_labels_and_steps(monkeypatch):
    monkeypatch.chdir(ROOT)
    made = list(configs("ssl_policies"))
    assert len({config.run_dir for config in made}) == len(made) == 2 * 6 * 10
    assert {config.seed for config in made} == set(range(100, 110))
    steps = {"fashion_mnist": 2000, "cifar10": 4000}
    for config in made:
        others = config.train_examples - config.num_labels
        assert others // config.batch_size * config.epochs == steps[config.dataset]
        assert (config.num_labels, config.num_meta, config.meta_source) == (500, 500, "train")


def test_the_study_chooses_on_unused_images_and_certifies_on_fresh_seeds(monkeypatch):
    monkeypatch.chdir(ROOT)
    made = list(configs("study"))
    chosen = [config for config in made if config.evaluate_on == "unused"]
    certified = [config for config in made if config.evaluate_on == "test"]
    assert {config.seed for config in chosen} == set(range(5))
    assert {config.seed for config in certified} == set(range(100, 110))
    examples = {"fashion_mnist": 2000, "cifar10": 5000}
    steps = {
        ("fashion_mnist", "heldout"): 4000,
        ("fashion_mnist", "train"): 3990,
        ("cifar10", "heldout"): 4000,
        ("cifar10", "train"): 3960,
    }
    for config in made:
        images = config.train_examples + (config.num_meta if config.meta_source == "train" else 0)
        taken = images // config.batch_size * config.epochs
        longer = config.policy == "beta(per_sample=True)" and config.epochs == 440
        row = config.dataset, config.meta_source
        assert config.train_examples == examples[config.dataset]
        expected = 8800 if longer and config.seed >= 100 else steps[row]
        assert taken == expected
        assert config.architecture == "cnn3(batch_norm=True, width=16)"
    seeds = collections.Counter(
        (config.dataset, config.policy, config.epochs, config.meta_source) for config in certified
    )
    assert set(seeds.values()) == {5, 10}
    policies = {config.policy for config in certified}
    for part in ("shuffle=True", "step_size=-1.0", "estimator='vjp'"):
        assert any(part in policy for policy in policies)


def test_the_study_of_noise_has_all_rows_of_all_conditions_at_about_equal_steps(monkeypatch):
    monkeypatch.chdir(ROOT)
    lines = launch("noise_study").stdout.splitlines()
    folders = {re.search(r"--run_dir=(\S+)", line)[1] for line in lines}
    assert len(folders) == len(lines) == (5 + 10) * 13 * (5 + 4)
    made = list(configs("noise_study", "--seeds=1"))
    assert {(c.seed, c.evaluate_on) for c in made} == {(0, "unused"), (100, "test")}
    conditions = collections.Counter((c.seed, c.dataset, c.label_noise) for c in made)
    assert len(conditions) == 2 * (5 + 4) and set(conditions.values()) == {13}
    for config in made:
        kept = config.num_meta // 4 if config.method.startswith("audit") else 0
        images = config.train_examples + config.num_meta - kept
        steps = images // config.batch_size * config.epochs
        # The audit's are fewer, for it keeps images to itself.
        assert 0.95 < steps / {"fashion_mnist": 1800, "cifar10": 3600}[config.dataset] <= 1


def test_what_is_kept_of_the_study_are_finished_cells_of_it(monkeypatch):
    monkeypatch.chdir(ROOT)

    def identity(config):
        return results.run_key({"config": config})

    cells = [identity(settings(config)) for config in configs("study")]
    kept = results.read([str(ROOT / "docs" / "study")])
    assert kept
    for each in kept:
        assert each["status"] == "finished"
        # An option that is gone; docs/results.md keeps what was found with it.
        if "matched=True" not in each["policy"]:
            assert identity(each["config"]) in cells


def test_the_full_study_is_by_the_papers_protocol_and_says_how_many_steps_it_takes(monkeypatch):
    monkeypatch.chdir(ROOT)
    reported = launch("study_full", "--help").stdout
    made = list(configs("study_full", "--seeds=1"))
    assert {(c.dataset, c.architecture) for c in made} == {
        ("fashion_mnist", "cnn3"),
        ("cifar10", "wrn_28_10"),
    }
    for config in made:
        assert departures(settings(config)).keys() <= {"meta_source"}
        left = SIZES[config.dataset][0] - (config.num_meta if config.meta_source != "train" else 0)
        assert f"{left // config.batch_size * config.epochs:,}" in reported


def test_a_run_that_has_finished_is_reported_and_not_printed_again(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first, *others = launch("study").stdout.splitlines()
    folder = tmp_path / re.search(r"--run_dir=(\S+)", first)[1]
    folder.mkdir(parents=True)
    for status, printed in (("stopped", [first, *others]), ("finished", others)):
        (folder / "result.json").write_text(json.dumps({"status": status}, indent=1))
        reported = launch("study")
        assert reported.stdout.splitlines() == printed
    assert reported.stderr == f"finished: {folder.relative_to(tmp_path)}\n"


FIGURES = ("figure2", "figure3", "figure4", "figure5", "figure6", "figure7", "proposition1")


@pytest.mark.parametrize("name", FIGURES)
def test_the_runs_of_a_figure_are_by_the_papers_protocol_and_can_be_compared(name, monkeypatch):
    monkeypatch.chdir(ROOT)
    made = [settings(config) for config in configs(name, "--seeds=1")]
    rows = {config["policy"] for config in made}
    assert paper.META in rows and ("beta" in rows or name in ("figure3", "figure7"))
    free = {"num_meta", "train_examples"} if name == "figure3" else set()
    for config in made:
        assert departures(config).keys() <= free
        alike = [each for each in made if each["dataset"] == config["dataset"]]
        differing = {k for each in alike for k in each if each[k] != config[k]}
        assert differing <= {"policy", "num_meta", "run_dir"}
    if name == "figure3":
        for config in made:
            left = SIZES[config["dataset"]][0] - config["num_meta"]
            assert config["train_examples"] <= left


@pytest.mark.parametrize("name", FIGURES)
def test_help_says_how_a_figure_is_drawn_and_what_its_runs_cost(name, monkeypatch):
    monkeypatch.chdir(ROOT)
    reported = launch(name, "--help").stdout
    assert f"--figure={name.removeprefix('figure')} " in reported
    assert reported.count(f"runs/{name}\n") == 2 and "GPU-hours" in reported
    for config in configs(name, "--seeds=1"):
        left = config.train_examples or SIZES[config.dataset][0] - config.num_meta
        steps = left // config.batch_size * config.epochs
        assert f"{steps:,}" in reported, (config.dataset, steps)


def test_the_small_figures_have_runs_for_every_figure(monkeypatch):
    monkeypatch.chdir(ROOT)
    made = list(configs("figures_small", "--seeds=1"))
    pairs = {(config.dataset, config.policy) for config in made}
    assert {(d, p) for d in ("fashion_mnist", "digits") for p in ("beta", paper.META)} <= pairs
    assert len({config.num_meta for config in made if config.dataset == "digits"}) == 5
    assert any("features=2" in config.architecture for config in made)


def test_further_flags_reach_every_command_with_spaces_and_all(monkeypatch):
    monkeypatch.chdir(ROOT)
    for config in configs(4, "--seeds=1", "--data_dir=/a b", "--noexport"):
        assert config.data_dir == "/a b" and not config.export


@pytest.mark.parametrize("argument", ["--seeds=0", "--seeds=two", "runs"])
def test_a_wrong_argument_is_reported(argument):
    done = launch(1, argument)
    assert done.returncode == 2 and argument.removeprefix("--") in done.stderr
    assert not done.stdout


def test_rows_sh_names_every_row_of_tables_1_3_and_4():
    named = re.findall(r"\w+", (ROOT / "launch" / "rows.sh").read_text())
    wanted = set()
    for table in (1, 3, 4):
        for line in launch(table, "--seeds=1").stdout.splitlines():
            flag = next(w for w in line.split() if w.startswith("--flagfile=flags/row/"))
            wanted.add(pathlib.Path(flag).stem.removesuffix("_svhn"))
    assert wanted <= set(named)


def from_workers(tmp_path, script, commands, **environment):
    """TF_CONFIG and the flags of each worker that `script` starts, with stand-ins for programs."""
    for name, content in commands.items():
        (tmp_path / name).write_text(f"#!/usr/bin/env bash\n{content}\n")
        (tmp_path / name).chmod(0o755)
    done = subprocess.run(
        script,
        cwd=ROOT,
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}", **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = [line.split("|") for line in sorted(done.stdout.splitlines())]
    return [(json.loads(config), flags) for config, flags in lines]


TELL = 'echo "$TF_CONFIG|$*"'


def test_the_slurm_script_gives_each_node_its_place(tmp_path):
    srun = """
        [ "$1" = --kill-on-bad-exit=0 ] && shift
        for SLURM_PROCID in 0 1; do
            export SLURM_PROCID SLURM_STEP_NODELIST='n[9-10]'
            "$@"
        done"""
    scontrol = '[ "$*" = "show hostnames n[9-10]" ] && printf "n9\\nn10\\n"'
    reported = from_workers(
        tmp_path,
        ["bash", "launch/slurm.sbatch", "--policy=beta(0.5, per_sample=True)"],
        {"srun": srun, "scontrol": scontrol, "python": TELL},
        PYTHON="python",
        SLURM_JOB_ID="20007",
    )
    cluster = {"worker": ["n9:20007", "n10:20007"]}
    flags = "-m tf_metamixup.main --policy=beta(0.5, per_sample=True)"
    assert reported == [
        ({"cluster": cluster, "task": {"type": "worker", "index": index}}, flags)
        for index in range(2)
    ]


def test_the_slurm_script_queues_a_job_again_that_saved_and_stopped(tmp_path):
    for name, content in {"srun": "exit 143", "scontrol": 'echo "$*"'}.items():
        (tmp_path / name).write_text(f"#!/usr/bin/env bash\n{content}\n")
        (tmp_path / name).chmod(0o755)
    done = subprocess.run(
        ["bash", ROOT / "launch/slurm.sbatch"],
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}", "SLURM_JOB_ID": "7"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (143, "requeue 7\n")


def test_the_kubernetes_manifest_gives_each_pod_its_place(tmp_path):
    service, job = yaml.safe_load_all((ROOT / "launch/kubernetes.yaml").read_text())
    assert (service["kind"], job["kind"]) == ("Service", "Job")
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    values = {each["name"]: each["value"] for each in container["env"]}
    count = int(values["WORKERS"])
    assert count == job["spec"]["completions"] == job["spec"]["parallelism"]
    assert int(values["PORT"]) == container["ports"][0]["containerPort"]
    assert (
        service["spec"]["selector"].items() <= job["spec"]["template"]["metadata"]["labels"].items()
    )
    assert service["metadata"]["name"] == pod["subdomain"]
    claims = {volume["name"] for volume in pod["volumes"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == claims
    for index in range(count):
        ((config, flags),) = from_workers(
            tmp_path,
            [*container["command"], *container["args"]],
            {"python": TELL},
            JOB_COMPLETION_INDEX=str(index),
            **values,
        )
        names = [f"{job['metadata']['name']}-{n}.{pod['subdomain']}" for n in range(count)]
        assert config["cluster"]["worker"] == [f"{name}:{values['PORT']}" for name in names]
        assert config["task"] == {"type": "worker", "index": index}
        module, *given = shlex.split(flags)[1:]
        assert module == "tf_metamixup.main"
        experiment.canonical(main.parse(["main", *given]))


def test_the_local_launcher_gives_each_worker_its_place_and_its_own_port(tmp_path):
    reported = from_workers(
        tmp_path,
        ["bash", "launch/multiworker.sh", "3", "python", "a b"],
        {"python": TELL},
        LOGS=str(tmp_path),
    )
    assert reported[0][1] == "a b"
    logged = [(tmp_path / f"worker{n}.log").read_text().splitlines()[-1] for n in (1, 2)]
    configs = [reported[0][0], *(json.loads(line.split("|")[0]) for line in logged)]
    assert [config["task"]["index"] for config in configs] == [0, 1, 2]
    (cluster,) = {tuple(config["cluster"]["worker"]) for config in configs}
    assert len(set(cluster)) == 3


@pytest.mark.parametrize(
    ("command", "code"), [("exit 3", 3), ("case $TF_CONFIG in *'\": 1}'*) exit 7 ;; esac", 7)]
)
def test_the_local_launcher_ends_with_the_code_of_a_worker_that_failed(command, code):
    done = subprocess.run(
        ["bash", ROOT / "launch/multiworker.sh", "2", "bash", "-c", command],
        capture_output=True,
        check=False,
    )
    assert done.returncode == code


@pytest.mark.parametrize("script", sorted(ROOT.glob("launch/*")), ids=lambda path: path.name)
def test_scripts_are_valid(script):
    if script.suffix == ".yaml":
        assert len(list(yaml.safe_load_all(script.read_text()))) == 2
    else:
        subprocess.run(["bash", "-n", script], check=True)
