"""The command line as a tired person uses it: one sentence that says what to do, and nothing left behind."""

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fedlayers.commands import main as app
from fedlayers.config.arguments import read_arguments
from fedlayers.config.schema.settings import Config
from fedlayers.core.errors import ClientFailed, Stopped, UserError

# What was typed -> what the answer says. None of these may need a metric other than weights.
MISTAKES = {
    # written as for another program
    "--rounds 20": "--rounds is written without dashes and with '=': rounds=20",
    "--rounds=20": "without dashes and with '=': rounds=20",
    "-rounds=20": "without dashes and with '=': rounds=20",
    "--num-rounds 20": "without dashes and with '=': rounds=20",
    "--dataset FMNIST": "without dashes and with '=': dataset=FMNIST",
    "--learning-rate=0.1": "without dashes and with '=': training.lr=0.1",
    "--hlp": "there is no flag --hlp; did you mean --help?",
    "-x": "there is no flag -x; --help lists what can be said",
    "–m seed=0,1": "–m begins with a long dash; type it with plain ones: -m",
    "--config-name=other": "--config-name is not used here; keep your settings in conf/experiment",
    "--experimental-rerun x": "--experimental-rerun is not used here; give the same command again",
    "--config-dir=/nowhere/at/all": "--config-dir must be an existing folder .* got '/nowhere/at/all'",
    "--cfg": "--cfg needs a value, such as --cfg job",
    "--cfg jobs": "--cfg must be one of job, hydra, all, got 'jobs'",
    "--multirun=yes seed=0,1": "--multirun takes no value",
    "-m --cfg job": "--multirun and --cfg cannot be done at once; leave one",
    "--resolve": "--resolve belongs to --cfg; write --cfg job --resolve",
    "help": "write --help to see what can be said",
    # slips around '='
    "rounds 20": "rounds needs '=' and a value: write rounds=20",
    "rounds": "rounds needs '=' and a value: write rounds=<value>",
    "rounds = 20": "leave no spaces around '=': write rounds=20",
    "rounds= 20": "leave no spaces around '=': write rounds=20",
    "rounds =20": "leave no spaces around '=': write rounds=20",
    "rounds==20": "one '=' is enough: write rounds=20",
    "rounds:20": "rounds:20 needs '=': write rounds=20",
    "rounds=": "rounds has no value; write rounds=<value>",
    "=20": "leave no spaces around '='",
    "'rounds=20;seed=1'": "rounds=20;seed=1 holds more than one key: write them apart",
    "rounds=20,seed=1": "holds more than one key: write them apart",
    "seed=0, 1, 2": "leave no spaces in a list: write seed=0,1,2",
    "'{rounds=20}'": "write key=value without brackets, quotes or spaces around the key",
    "study=“mine”": "holds typographic quotes; type plain ones, or none",
    "'study=\"mine'": "a quote is not closed",
    "'study=a(b'": "a bracket is not closed, or belongs in quotes",
    "seed=0,1,": "a value is missing after the last comma",
    "metrics.distances.names=[l2_dst,mean&full-l1_dst]": (
        r"put its entries and the whole into quotes, such as 'metrics.distances.names=\[l2_dst,\"mean&full-l1_dst\"\]'"
    ),
    "results_dir=a=b": "put the value into two pairs of quotes, such as 'results_dir=\"a=b\"'",
    "rounds.=3": "'rounds.' is not a key",
    "@rounds=3": "'@rounds' is not a key",
    # data sets and other options
    "FMNIST": "FMNIST alone says too little: write dataset=FMNIST",
    "dataset.FMNIST": "dataset.FMNIST needs '=': write dataset=FMNIST",
    "dataset/FMNIST": "dataset/FMNIST needs '=': write dataset=FMNIST",
    "dataset:FMNIST": "dataset:FMNIST needs '=': write dataset=FMNIST",
    "dataset.FMNIST=1": "no such key 'dataset.FMNIST'; did you mean dataset=FMNIST?",
    "+dataset=fmnist": r"dataset has no option 'fmnist'; did you mean dataset=FMNIST \(all options: .*digits",
    "dataset=ImageNet": "dataset has no option 'ImageNet'; did you mean dataset=TinyImageNet .*FMNIST",
    "dataset=null": "dataset must be one of .*FMNIST.*, got null",
    "dataset=1": "dataset must be one of .*FMNIST.*, got 1",
    "objective=nan": "objective must be one of .*mse, got nan",
    "'objective@mine=1'": "objective must be one of .*mse, got 1",
    "metrics=[1]": r"metrics must be a list of some of .*weights, got \[1\]",
    "metrics=[weights,null]": r"metrics must be a list of some of .*weights, got \[weights,null\]",
    "metrics=[[weights]]": r"metrics must be a list of some of .*weights, got \[\[weights\]\]",
    "metrics=null": "metrics must be a list of some of .*weights, got null",
    "'similarity=[cka,{a:1}]'": r"similarity must be a list of some of .*svcca, got \[cka,{a:1}\]",
    "tracking=[nan]": r"tracking must be a list of some of mlflow, tensorboard, wandb, got \[nan\]",
    "hydra/launcher=1": r"hydra/launcher must be one of its options \(--info searchpath .*, got 1",
    "-m objective=mse,1": "objective must be one of .*mse, got 1",
    "dataset=[FMNIST,Heart]": "dataset takes one option; to run each write -m dataset=FMNIST,Heart",
    "+dataset=FMNIST dataset=Heart": "two data sets at once, .dataset=FMNIST and dataset=Heart",
    "dataset=FMNIST,Heart": "asks for several runs: add -m to run each",
    "datset=FMNIST": "no such key 'datset'; did you mean dataset=FMNIST?",
    "data=FMNIST": "no such key 'data'; did you mean dataset=FMNIST?",
    "model=FMNIST": "model has no option 'FMNIST'; did you mean dataset=FMNIST",
    "model=cnnn": "model has no option 'cnnn'; did you mean model=cnn",
    "+model=cnn": "model has been chosen already, so write it without the plus: model=cnn",
    "strategy=fedprox": "no such key 'strategy'; did you mean algorithm=fedprox?",
    "algorithm.name=fedprox": "algorithm.name only labels the results; to choose the option write algorithm=fedprox",
    "algorithm.mu=0.1": "algorithm.mu belongs to another option of algorithm; choose algorithm=fedprox",
    "metrics.exits.tolerance=0.1": r"metrics.exits.tolerance belongs to exits, .* add exits to the list metrics=\[",
    "+algorithm.mu=0.1": "algorithm.mu would have no effect: .* choose algorithm=fedprox",
    "algorithm=fedprox algorithm.client.mu=1": "algorithm.mu would have no effect: .* change algorithm.mu itself",
    "algorithm=flower": "algorithm.strategy._target_ has no value yet; .*flwr.serverapp.strategy.FedYogi",
    "engine=gpu": "engine has no option 'gpu'; choose one of auto, flower, local, ray",
    "engine.name=gpu": "engine.name must be one of auto, local, ray, flower, got 'gpu'",
    "experiment=layers_fmnist": r"an experiment is added with a plus: \+experiment=layers_fmnist",
    "+experiment=layer_fmnist": r"experiment has no option 'layer_fmnist'; did you mean \+experiment=layers_fmnist",
    # keys
    "lr=0.1": "no such key 'lr'; did you mean training.lr?",
    "training.lrr=0.1": "no such key 'training.lrr'; did you mean training.lr?",
    "training/lr=0.1": "no such key 'training/lr'; did you mean training.lr?",
    "Rounds=3": "no such key 'Rounds'; did you mean rounds?",
    "data_path=x": "no such key 'data_path'; did you mean data_dir?",
    "local_epochs=3": "no such key 'local_epochs'; did you mean training.epochs?",
    "alpha=0.1": "no such key 'alpha'; did you mean partition.alpha?",
    "'training={lr:0.1,lrr:1}'": "no such key 'training.lrr'; did you mean training.lr?",
    "'model={a:{b:1}}'": "no such key 'model.a'; model has _target_, dropout, hidden, name",
    "'metrics={weights:{round:[1]}}'": "no such key 'metrics.weights.round'; did you mean metrics.weights.rounds?",
    "'objective={gamma:1}'": "objective.gamma belongs to another option of objective; choose objective=focal",
    "training.foo=1": "no such key 'training.foo'; training has augment, batch_size",
    "foo.bar=1": "no such key 'foo.bar'; --cfg job shows all keys",
    "+foo=1": "no such key 'foo'; --cfg job shows all keys",
    "++training.lrr=1": "no such key 'training.lrr'; did you mean training.lr?",
    "+rounds=3": "rounds exists already, so write it without the plus: rounds=3",
    "rounds=3 rounds=4": "rounds is given twice, as rounds=3 and rounds=4; leave one",
    "~training.lr": "nothing is removed with '~' but a metric",
    "~seed=0": "nothing is removed with '~' but a metric",
    "training.lr.x=3": "training.lr is a single value, so there is no key training.lr.x",
    # values
    "rounds=ten": "rounds must be a whole number, got ten",
    "'training={lr:fast}'": "training.lr must be a number, got fast",
    "'training={schedule:{a:1}}'": "training.schedule must be text, got {'a': 1}",
    "'plan={rule:1}'": "plan.rule must hold several values, such as .*, or null",
    "model._target_=torch.nn.Linear": "Linear has no argument 'hidden', .* write model=custom model._target_=torch",
    "objective._target_=torch.nn.NLLLoss": "NLLLoss has no argument '.*', .* write objective=custom objective._tar",
    "rounds=3.0": "rounds must be a whole number, got 3.0; write rounds=3",
    "rounds=1e3": "rounds must be a whole number, got 1e3; write rounds=1000",
    "training.cohort=2.5": "training.cohort must be a whole number, or auto, got 2.5",
    "rounds=0": "rounds must be from 1 to .*, got 0",
    "rounds=-5": "rounds must be from 1 to .*, got -5",
    "rounds=null": "rounds must be a whole number, got null",
    "rounds=true": "rounds must be a whole number, got true",
    "clients=None": "clients must be a whole number, or null, got None; write clients=null for none",
    "clients=fedprox": "clients must be a whole number, or null, got fedprox; did you mean algorithm=fedprox?",
    "seed=[0,1]": "seed must be a whole number, got .*; to run each value write -m seed=0,1",
    "seed=0,1": "seed=0,1 asks for several runs: add -m to run each",
    "seed=range(0,3)": r"seed=range\(0,3\) asks for several runs: add -m to run each",
    "seed=0-4": "seed must be a whole number, got 0-4",
    "training.lr=0,1": "training.lr=0,1 asks for several runs: add -m to run each, or write training.lr=0.1",
    "training.lr=1/10": "training.lr must be a number, got 1/10",
    "training.lr=nan": "training.lr must be a positive number, got nan",
    "training.lr=inf": "training.lr must be a positive number, got inf",
    "training=adam": "training holds several values; set one of training.augment",
    "training.augment=crop": "training.augment must be a list, .*write training.augment=.crop.",
    "training.augment=crop,flip": r"needs brackets to be a list: training.augment=\[crop,flip\]",
    "snapshots.rounds=last": "snapshots.rounds must be a list, .*write snapshots.rounds=.last.",
    "fraction=20%": "fraction must be a number, got 20%",
    "fraction=20": r"fraction must be in \(0, 1\]: .* got 20.0",
    "figures=maybe": "figures must be true or false, got maybe",
    "split.train=0.9": "split.train .* must be 1, got 1.1; change one of the three",
    "device=cuda:0": "device must be one of auto, cpu, cuda, got 'cuda:0'",
    "figures=-1": "figures must be true or false, got -1",
    "client_threads=100000": "client_threads must be at most 1024, got 100000",
    "server_threads=100000": "server_threads must be at most 1024, got 100000",
    "engine.workers=100000": "engine.workers must be at most 10000, got 100000",
    "engine.client_cpus=0.00001": r"engine.client_cpus must be positive \(.* from 0.0001\), got 1e-05",
    "engine.client_gpus=1.5": "engine.client_gpus must be a whole number, or a share of one GPU, got 1.5",
    "training.batch_size=100000000000000000000000": "training.batch_size must be at most 2147483647, got 10{23}",
    "clients=100000000000000000000000": "clients must be at most 2147483647, got 10{23}",
    "training.lr=1e300": "training.lr must be a positive number, got 1e.300",
    "'study=\"a=b\"'": "study must be a folder name without '=', got 'a=b'",
    "'study=\"a\nb\"'": r"study must be a folder name of plain characters, got 'a\\nb'",
    "'init=\"\"'": "init must be a path, got ''",
    # settings that others leave without effect
    "training.epochs=3 training.steps=5": "training.epochs must be left out because training.steps=5 says how long",
    "training.optimizer=adamw training.momentum=0.9": "training.momentum must be left out because .*=adamw has none",
    "training.schedule_rounds=5": "training.schedule_rounds must be left out because training.schedule=constant does",
    "training.schedule=cosine training.schedule_by=step training.schedule_rounds=5": "or say training.schedule_steps,",
    "training.schedule=cosine training.schedule_steps=5": "schedule_by=round does .*, or say training.schedule_rounds",
    "training.schedule_by=step": "training.schedule_by must be left out because .*constant without training.warmup is",
    "training.schedule=cosine training.warmup=10": "training.schedule must be .* training.warmup=10 lasts .* rounds=10",
    "training.momentum=0 training.optimizer_state=carried": "optimizer_state must .* remembers nothing, got",
    "training.warmup=long": "training.warmup must be a whole number, got long",
    "training.warmup=0.5": "training.warmup must be a whole number, got 0.5",
    "training.optimizer_state=kept": "training.optimizer_state must be one of fresh, carried, got 'kept'",
    "training.schedule=cosine training.schedule_factor=0.5": "training.schedule_factor must be left out because",
    "plant.groups=2": "plant.groups must be left out because plant.kind=null plants no groups, got 2; .*choose plant",
    "engine=local engine.workers=2": "engine.workers must be left out because engine=local runs clients one after",
    "engine=flower training.cohort=4": "training.cohort must be left out because engine=flower sends clients one by",
    "algorithm=centralized training.cohort=2": "training.cohort must be left out because Centralized trains one part",
    "-m seed=0,1 training.epochs=3 training.steps=5": "training.epochs must be left out because",
    "snapshots.clients=true snapshots.rounds=[]": r"snapshots.rounds must be a round or more with .*, got \[\]",
    "study=a/b": "study must be a folder name without '/'",
    "'study=\"seed=1\"'": "study must be a folder name without '=', got 'seed=1'; DuckDB would read",
    "results_dir=~/results": "only the shell understands '~'; write the path out",
    "'results_dir=${nowhere}/x'": "results_dir refers to something that is not there",
    "results_dir=/etc/hosts": "results_dir=/etc/hosts needs a folder, but /etc/hosts is a file",
    # metrics
    "metrics=weights,evaluation": r"needs brackets to be a list: metrics=\[weights,evaluation\]",
    "metrics=[weights,wieghts]": "metrics has no option 'wieghts'; did you mean metrics=.weights.",
    "metrics=all": "metrics has no option 'all'; choose one of",
    "metrics=[accuracy]": r"accuracy is a quantity of evaluation; did you mean metrics=\[evaluation\]\?",
    "metrics=[weights,acuracy]": r"accuracy is a quantity of evaluation; did you mean metrics=\[weights,evaluation\]\?",
    "metrics=[cka]": r"metrics has no option 'cka'; did you mean similarity=\[cka\]",
    "accuracy=true": r"accuracy is a quantity of evaluation: write metrics=\[evaluation\]",
    "metrics.accuracy.rounds=[all]": r"accuracy is a quantity of evaluation: write metrics=\[evaluation\]",
    "metrics=[weights] metrics.weights.rounds=[99]": r"metrics.weights.rounds must be .*from 1 to 10, got \[99\]",
    "metrics=[weights] metrics.weights.rounds=[]": r"metrics.weights.rounds must be a list with one round or more",
    "metrics=[weights] metrics.weights.moments=[]": "metrics.weights.moments must be one moment or more",
    "metrics=[curvature] metrics.curvature.scope=x": "^error: metrics.curvature.scope must be .* got 'x'$",
    "metrics=[clusters] metrics.clusters.method.number=-1": "metrics.clusters.method.number must be 1 or more, got -1",
    "metrics=[clusters] metrics.clusters.method=3": "metrics.clusters.method must be a Clustering .*, got 3",
    "metrics=[similarity] metrics.similarity.relations=[]": "metrics.similarity.relations must hold one or more",
    "metrics.weights.rond=[all]": "no such key 'metrics.weights.rond'; did you mean metrics.weights.rounds?",
    "metrics.weights.rounds=last": "metrics.weights.rounds must be a list",
    "metrics.on_error=ignore": "metrics.on_error must be one of record, raise, got 'ignore'",
    "metrics.payload_mb=-1": "metrics.payload_mb must be a positive number of megabytes, got -1",
    # plug-ins
    "metrics.weights._target_=null": "metrics.weights._target_ is missing: give the class or function by its full name",
    "+algorithm.foo=1": r"algorithm.foo would have no effect: .* leave out \+algorithm.foo",
    "+model.hiden=[5]": "model.hiden: MLP has no argument 'hiden'; did you mean model.hidden?",
    "model.hidden=5": "model.hidden must be a list",
    "model._target_=torchvisionn.Net": "model._target_=torchvisionn.Net: there is no module torchvisionn",
    "algorithm.strategy._target_=torchh": "there is no module torchh; give an importable name",
    "algorithm.strategy._target_=flwr.serverapp.strategy.MultiKrumm": "did you mean .*=flwr.*strategy.MultiKrum?",
    "+algorithm.strategy.server_lrr=1": "FedAvg has no argument .server_lrr.; did you mean algorithm.server_lr?",
    "+algorithm.strategy.fraction_train=0.5": "algorithm.strategy.fraction_train is filled in by the run; set fraction",
    "algorithm=fedadam +algorithm.strategy.etaa=1": "FedAdam has no argument 'etaa'; did you mean algorithm.eta?",
    "algorithm=fedprox algorithm.mu=big": "algorithm.mu must be a number, got 'big'",
    "algorithm=fedprox algorithm.mu=-1": "algorithm.mu must be 0 or more",
    "algorithm=fedprox algorithm.mu=inf": "algorithm.mu must be 0 or more .*, got inf",
    "algorithm=fedadam algorithm.eta=nan": "algorithm.eta must be a number, got nan",
    "algorithm=fedadam algorithm.eta=-1": "algorithm.eta must be a positive number, got -1",
    "algorithm=fedadam algorithm.beta_1=1": r"algorithm.beta_1 must be in \[0, 1\), got 1",
    "algorithm=krum algorithm.num_malicious_nodes=-1": "algorithm.num_malicious_nodes must be 0 or more, got -1",
    "algorithm=fedtrimmedavg algorithm.beta=0.5": r"algorithm.beta must be in \[0, 0.5\), got 0.5",
    "algorithm.strategy._target_=FedYogi2": "did you mean algorithm=fedyogi?",
    "algorithm.strategy._target_=MultiKrum2": (
        "did you mean algorithm=flower algorithm.strategy._target_=flwr.serverapp.strategy.MultiKrum?"
    ),
    "algorithm.strategy._target_=flwr.serverapp.strategy.FedYogi": (
        "algorithm.server_lr is an argument of another strategy than FedYogi; to run that one write algorithm=fedyogi"
    ),
    "algorithm.strategy._target_=flwr.serverapp.strategy.MultiKrum": (
        "algorithm.server_lr is an argument of another strategy than MultiKrum; to run that one write algorithm=flower"
    ),
    "algorithm.client._target_=clients.fedprox.FedProxClient": "algorithm.client.mu is needed by clients.fedprox",
    "algorithm.strategy._target_=fl.server.strategy.FedProx": "did you mean .*=flwr.serverapp.strategy.FedProx?",
    "algorithm.strategy._target_=flwr.server.strategy.FedAvg": (
        "is of an interface Flower has left; it is flwr.serverapp.strategy.FedAvg now, so write algorithm=flower "
        "algorithm.strategy._target_=flwr.serverapp.strategy.FedAvg"
    ),
    "algorithm=flower algorithm.strategy._target_=flwr.serverapp.strategy.FedAvg +algorithm.strategy.fraction_fit=1": (
        "algorithm.strategy.fraction_fit is filled in by the run; set fraction instead"
    ),
    "algorithm=krum +algorithm.strategy.num_malicious_clients=1": "did you mean algorithm.num_malicious_nodes?",
    "algorithm.client._target_=FedProxClient": "did you mean algorithm=fedprox?",
    "model._target_=MLP": "did you mean model=mlp?",
    "partition._target_=IidPartitioner": "did you mean partition=iid?",
    "algorithm.strategy=word": "algorithm.strategy must be a class with its arguments, got 'word'; name the class by",
    "algorithm.client._target_=clients.measuring.measure": "algorithm.client._target_ must be a subclass of flwr.cl",
    "~algorithm.client": "nothing is removed with '~'",
    # sweeps and launchers
    "-m seed=0": "-m runs several values, but none are given: write some, such as seed=0,1,2",
    "-m seed=0,x": "seed must be a whole number, got x",
    "-m rounds=2,0": "rounds must be from 1 to .*, got 0",
    "-m dataset=FMNIST,Hart": "dataset has no option 'Hart'; did you mean dataset=Heart",
    "-m +experiment=nope": "experiment has no option 'nope'; choose one of",
    "-m seed=0,1 hydra/launcher=slrum": "hydra/launcher has no option 'slrum'; did you mean hydra/launcher=slurm",
    "hydra/launcher=slurm": "hydra/launcher=slurm starts the runs of a sweep: add -m",
    "hydra.launcher.partition=gpu": "is an option of another launcher; choose one, such as hydra/launcher=slurm",
    "-m seed=0,1 hydra/launcher=slurm hydra.launcher.partitoin=gpu": "no such key 'hydra.launcher.partitoin'",
    "hydra/lancher=slurm": "no such group 'hydra/lancher'; did you mean hydra/launcher?",
}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Start every command in an empty folder, and never carry out a run."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
    monkeypatch.setattr("fedlayers.execution.execute.execute", lambda config: pytest.fail("a run was started"))
    yield tmp_path


def leave(*words: str) -> int:
    """Call the program and return its exit code."""
    with pytest.raises(SystemExit) as left:
        app.main(words)
    return int(left.value.code or 0)


@pytest.mark.parametrize("line", MISTAKES, ids=str)
def test_mistake(line: str, elsewhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = shlex.split(line)
    plain = "metrics" not in line and not any(word.startswith("-") and word != "-m" for word in words)
    code = leave(*words, *(["metrics=[weights]"] if plain else []))
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and said.startswith("error: ")
    with pytest.raises(UserError, match=MISTAKES[line]):
        raise UserError(said.rstrip())
    assert code == 1
    assert list(elsewhere.iterdir()) == []


def test_a_mistake_found_while_building_leaves_no_folder(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def execute(config: Config) -> None:
        raise UserError("data_dir must name a folder with the files of FMNIST")

    monkeypatch.setattr("fedlayers.execution.execute.execute", execute)
    assert leave("+dataset=FMNIST", "metrics=[weights]") == 1
    assert capsys.readouterr().err == "error: data_dir must name a folder with the files of FMNIST\n"
    assert list(elsewhere.iterdir()) == []
    (elsewhere / "results").mkdir()
    leave("+dataset=FMNIST", "metrics=[weights]")
    assert list(elsewhere.rglob("*")) == [elsewhere / "results"]


def test_results_that_cannot_be_written(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(UserError, match=r"results_dir=x cannot be written \(no permission in .*choose another"):
        app.start(read_arguments(["results_dir=x", "metrics=[weights]"]))


@pytest.mark.parametrize("words", [["+dataset=FMNIST"], ["dataset=FMNIST"], ["--run", "dataset=FMNIST"]])
def test_a_run_is_composed_and_carried_out_once(
    words: list[str], elsewhere: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[Config] = []
    monkeypatch.setattr("fedlayers.execution.execute.execute", seen.append)
    assert leave(*words, "metrics=[weights]", "rounds=3") == 0
    assert [(config.dataset["name"], config.rounds) for config in seen] == [("FMNIST", 3)]
    assert capsys.readouterr().out == ""
    assert list(elsewhere.iterdir()) == []  # Hydra itself leaves nothing


def test_without_a_data_set_the_first_line_says_which_is_used(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("fedlayers.execution.execute.execute", lambda config: print("running"))
    assert leave("metrics=[weights]") == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith(
        "data set: digits (scikit-learn's bundled handwritten digits); choose another with +dataset="
    )
    assert second == "running"


@pytest.mark.parametrize(("number", "code"), [(None, 130), (2, 130), (15, 143)])
def test_a_stopped_run_leaves_with_the_code_of_its_signal(
    number: int | None, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def execute(config: Config) -> None:
        monkeypatch.setattr("fedlayers.core.machine.signals._State.received", number)
        raise Stopped

    monkeypatch.setattr("fedlayers.execution.execute.execute", execute)
    assert leave("metrics=[weights]", "dataset=digits") == code
    assert capsys.readouterr().err == (
        "stopped; the same command continues after the last complete round, or begins if there is none\n"
    )


def test_a_failed_client_is_told_and_a_bug_keeps_its_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def execute(config: Config) -> None:
        raise {0: ClientFailed("client 3, round 2: no memory"), 1: ZeroDivisionError("a bug")}[config.seed]

    monkeypatch.setattr("fedlayers.execution.execute.execute", execute)
    assert leave("metrics=[weights]", "seed=0") == 1
    assert capsys.readouterr().err == "error: client 3, round 2: no memory\n"
    with pytest.raises(ZeroDivisionError, match="a bug"):
        app.main(["metrics=[weights]", "seed=1"])


@pytest.mark.parametrize("variable", ["HYDRA_FULL_ERROR", "FEDLAYERS_TRACEBACK"])
def test_a_traceback_on_request(
    variable: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(variable, "1")
    assert leave("lr=0.1") == 1
    said = capsys.readouterr().err
    assert said.startswith("Traceback") and "ConfigAttributeError" in said
    assert said.endswith("error: no such key 'lr'; did you mean training.lr?\n")


def test_help_teaches_the_groups(capsys: pytest.CaptureFixture[str]) -> None:
    assert leave("--help") == 0
    text = capsys.readouterr().out
    for expected in ("+dataset=FMNIST", "dataset: ", "algorithm: apfl", "-m +experiment=", "results/<study>"):
        assert expected in text
    assert max(map(len, text.splitlines())) <= 140


def test_what_shows_and_runs_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert leave("--version") == 0
    assert capsys.readouterr().out.startswith("fedlayers ")
    assert leave("--cfg", "job", "--resolve", "+dataset=FMNIST", "algorithm=fedprox", "metrics=[weights]") == 0
    text = capsys.readouterr().out
    assert "name: FMNIST" in text and "${" not in text and "hydra:" not in text
    assert leave("metrics=[weights]", "--info", "searchpath") == 0
    assert "conf" in capsys.readouterr().out


def test_flags_may_stand_anywhere() -> None:
    read = read_arguments(["+dataset=FMNIST", "-m", "seed=0,1", "--info", "rounds=2"][:3])
    assert read.flags == {"--multirun": ""} and read.overrides == ["dataset=FMNIST", "seed=0,1"]
    assert read_arguments(["--info", "rounds=2"]).words == ["rounds=2", "--info"]
    assert read_arguments(["--multi", "seed=0,1"]).flags == {"--multirun": ""}


def test_shell_completion_is_left_to_hydra() -> None:
    assert read_arguments(["-sc", "install=bash"]).words == ["install=bash", "--shell-completion"]


def program(folder: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **variables}
    command = [sys.executable, "-m", "fedlayers", *words]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("line", ["-m seed=0,1 training.lr=abc", "--rounds 20"])
def test_the_program_itself_answers_in_one_line(line: str, elsewhere: Path) -> None:
    done = program(elsewhere, *line.split())
    assert done.returncode == 1
    assert done.stdout == "" and done.stderr.count("\n") == 1 and done.stderr.startswith("error: ")
    assert list(elsewhere.iterdir()) == []


def test_what_has_to_be_quick_imports_nothing_slow(elsewhere: Path) -> None:
    code = (
        "import sys, fedlayers.commands.main as app\n"
        "for word in sys.argv[1:]:\n"
        "    try: app.main([word])\n"
        "    except SystemExit: pass\n"
        "    print([name for name in ('torch', 'ray', 'flwr', 'pandas', 'sklearn') if name in sys.modules])"
    )
    command = [sys.executable, "-c", code, "--help", "lr=0.1", "rounds=0"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines().count("[]") == 3
