"""The README's Python runs as printed, and its commands parse as printed."""

import io
import json
import re
import shlex
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image
from safetensors.numpy import save_file
from tiny_folders import write

import flax_vision as fv
from flax_vision.cli import main, train
from flax_vision.cli.imports import import_modules
from flax_vision.cli.main import main as flax_vision_main
from flax_vision.data.prepare import preparation
from flax_vision.data.preprocessing import Preprocessing
from flax_vision.models.registry import model_options
from flax_vision.papers.experiments import EXPERIMENTS
from flax_vision.training import sweep
from flax_vision.training.config_loader import load_config
from flax_vision.training.partitioning import make_partitioner
from flax_vision.weights import pretrained, saved_model
from flax_vision.weights.export import export
from flax_vision.weights.pretrained import PretrainedWeights, Transforms

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


COMMANDS = [line for block in blocks("sh") for line in block.splitlines()]
PARTS = [part for line in COMMANDS for part in line.split(" && ")]
TRAINING = [
    x for x in PARTS if re.search(r"train\.py |flax-vision train ", x) and "--help" not in x
]


def write_run(run, name, channels=0):
    """Writes the files of a run on digits whose model has its initial parameters."""
    metadata = saved_model.ModelMetadata(
        name=name,
        options={},
        class_names=list("0123456789"),
        image_shape=[28, 28, 1],
        preprocessing=Preprocessing([20.0], [200.0], channels=channels),
        metrics={},
    )
    images = jnp.zeros((1, 28, 28, channels or 1))
    saved_model.save(
        run / "export",
        metadata,
        jax.jit(metadata.create_model().init)(jax.random.key(0, impl="unsafe_rbg"), images),
    )
    data = {"name": "mnist_5k", "tfds_dir": "", "val_fraction": 0.1}
    (run / "config.json").write_text(json.dumps({"format": 2, "data": data}))
    (run / "metrics.jsonl").write_text('{"epoch": 1, "train/top1": 0.5, "epoch_seconds": 1}\n')
    (run / "launches.json").write_text("[]")


@pytest.fixture
def at_the_root(monkeypatch):
    monkeypatch.chdir(ROOT)


@pytest.mark.slow
@pytest.mark.parametrize("source", blocks("python"))
def test_python_runs(source, tmp_path, monkeypatch):
    if "torchvision" in source:
        pytest.importorskip("torchvision", reason="torchvision is in the extra `parity`")
    write_run(tmp_path / "runs/lenet5", "lenet5")
    monkeypatch.chdir(tmp_path)
    if "photographs" in source:
        write(tmp_path / "photographs", "a", 2)
    if "lenet5.stablehlo" in source:
        export("runs/lenet5", "stablehlo", "lenet5.stablehlo", preprocessing=True)
    with jax.default_prng_impl("unsafe_rbg"):  # compiles at once
        exec(source, {})


@pytest.mark.parametrize("line", TRAINING)
@pytest.mark.usefixtures("at_the_root", "temporary_names")
def test_training_commands_have_a_configuration(line):
    program, arguments = re.split(r" train(?:\.py)? ", line)
    assert program.split()[-1] in ("python", "flax-vision")
    options, overrides = train._parse(shlex.split(arguments))
    import_modules(options.imports)
    config = load_config(options.config, overrides)
    if "XLA_FLAGS" in program:
        assert f"count={jax.device_count()}" in program
        make_partitioner(config)


OTHERS = [part for part in PARTS if part.startswith("flax-vision ") and part not in TRAINING]
ELSEWHERE = re.compile(  # tested below
    " (compare|evaluate|export|import-weights|lr-find|paper|predict|prepare|report|sweep|train"
    "|--mesh) "
)


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(line, marks=[pytest.mark.slow] * bool(re.search(" (bench|profile) ", line)))
        for line in OTHERS
        if not ELSEWHERE.search(line)
    ],
)
def test_other_commands(line, capsys):
    assert flax_vision_main(shlex.split(line)[1:]) == 0
    assert capsys.readouterr().out


@pytest.mark.parametrize("line", [line for line in OTHERS if " train --help" in line])
def test_help_pages(line, capsys):
    *_, topic = arguments = shlex.split(line)[1:]
    with pytest.raises(SystemExit, match="0"):
        flax_vision_main(arguments)
    assert topic in capsys.readouterr().out


@pytest.mark.slow
def test_lr_find(at_the_root, tmp_path, capsys):
    (line,) = [line for line in OTHERS if " lr-find " in line]
    picture = tmp_path / "curve.png"
    assert flax_vision_main([*shlex.split(line)[1:], "--steps=40", f"-o={picture}"]) == 0
    assert "to train with it: flax-vision train lenet5" in capsys.readouterr().out
    assert picture.exists()


def test_paper_commands_have_an_experiment():
    lines = [shlex.split(line)[1:] for line in OTHERS if " paper " in line]
    for options in map(main._parser().parse_args, lines):
        assert options.item in EXPERIMENTS[options.paper]


def test_sweep(tmp_path, monkeypatch, capsys):
    (line,) = [line for line in OTHERS if " sweep " in line]
    result = {"test/top1": 0.5, "test/loss": 1.0, "train_seconds": 1.0}
    monkeypatch.setattr(sweep, "fit", lambda *_: result)
    monkeypatch.chdir(tmp_path)
    assert flax_vision_main(shlex.split(line)[1:]) == 0
    assert "50.00 ± 0.00 %" in capsys.readouterr().out


def test_compare(tmp_path, monkeypatch, capsys):
    (line,) = [line for line in OTHERS if " compare " in line]
    arguments = shlex.split(line)[1:]
    for path in arguments[1:3]:
        write_run(tmp_path / path, "lenet5")
    monkeypatch.chdir(tmp_path)
    assert flax_vision_main(arguments) == 0
    assert all(path in capsys.readouterr().out for path in arguments[1:2])
    assert (tmp_path / "curves.png").exists()


class Mnist(tfds.builder_cls("mnist"), skip_registration=True):
    """A dataset named mnist with four random images."""

    def _split_generators(self, dl_manager):
        return {split: self._generate_examples() for split in ("train", "test")}

    def _generate_examples(self):
        images = np.random.default_rng(0).integers(0, 256, (4, 28, 28), np.uint8)
        for label, pixels in enumerate(images):
            file = io.BytesIO()
            Image.fromarray(pixels).save(file, format="png")
            yield label, {"image": file.getvalue(), "label": label}


@pytest.mark.slow
@pytest.mark.parametrize(
    "line", [line for line in OTHERS if " evaluate " in line and "--help" not in line]
)
def test_evaluation_commands(line, tmp_path, monkeypatch, capsys):
    """Runs the printed command on an untrained model and a few images."""
    if "--image-dir" in line:
        write(tmp_path / "photographs", "01", 2)
    if "--data mnist" in line:
        monkeypatch.setattr(tfds.core.constants, "DATA_DIR", str(tmp_path))
        Mnist(data_dir=tmp_path, file_format="array_record").download_and_prepare()
    name = "resnet20" if "resnet20" in line else "lenet5"
    for run in re.findall(r"runs/[\w-]+", line):
        write_run(tmp_path / run, name, channels=3 if name == "resnet20" else 0)
    monkeypatch.chdir(tmp_path)
    assert flax_vision_main(shlex.split(line)[1:]) == 0
    printed = capsys.readouterr().out
    assert name in printed
    images = (
        4 if "--image-dir" in line or "--data" in line else 400 if "validation" in line else 1000
    )
    assert re.search(rf"\b{images}\b", printed.replace(",", ""))


@pytest.mark.slow
@pytest.mark.parametrize("line", [line for line in OTHERS if re.search(" (export|report) ", line)])
def test_export_and_report_commands(line, tmp_path, monkeypatch, capsys):
    name = "resnet18_v1_5" if "resnet18" in line else "lenet5"
    run = tmp_path / f"runs/{name.removesuffix('_v1_5')}"
    write_run(run, name, channels=3 if name != "lenet5" else 0)
    monkeypatch.chdir(tmp_path)
    assert flax_vision_main(shlex.split(line)[1:]) == 0
    assert Path(capsys.readouterr().out.strip()).exists()


@pytest.mark.parametrize("line", [line for line in OTHERS if " prepare " in line])
def test_prepare_commands(line, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(preparation.Preparation, "path", tmp_path)  # prepared already
    assert flax_vision_main(shlex.split(line)[1:]) == 0
    assert capsys.readouterr().out == f"{tmp_path}\n"


@pytest.mark.parametrize("line", [line for line in OTHERS if " import-weights " in line])
def test_import_commands(line, tmp_path, monkeypatch, capsys):
    *_, name, source, directory = shlex.split(line)
    init = fv.create_model(name, num_classes=3).init
    images = jax.ShapeDtypeStruct((1, 224, 224, 3), "float32")
    shapes = jax.eval_shape(init, jax.random.key(0), images)
    variables = jax.tree.map(lambda x: np.ones(x.shape, x.dtype), shapes)
    state_dict = fv.weights.to_torchvision(name, variables)
    monkeypatch.chdir(tmp_path)
    if source.startswith("torchvision:"):
        found = PretrainedWeights(state_dict, Transforms(), list("abc"))
        monkeypatch.setattr(pretrained, "load_pretrained", lambda *what: found)
    else:
        save_file(state_dict, source)
    assert flax_vision_main(shlex.split(line)[1:]) == 0
    assert "params/fc/kernel" in capsys.readouterr().out
    assert len(saved_model.load_metadata(directory).class_names) == 3


@pytest.mark.slow
@pytest.mark.parametrize("line", [line for line in OTHERS if " predict " in line])
def test_predict_commands(line, tmp_path, monkeypatch, capsys):
    name = "resnet18_v1_5" if "resnet18" in line else "lenet5"
    for run in re.findall(r"(?:imports|runs)/[\w-]+", line):
        write_run(tmp_path / run, name, channels=3 if name != "lenet5" else 0)
    write(tmp_path / "photographs", "a", 2)
    monkeypatch.chdir(tmp_path)
    assert flax_vision_main(shlex.split(line)[1:]) == 0
    assert "photographs/a/1.png" in capsys.readouterr().out
    assert Path("photographs.png").exists() == ("--picture" in line)


def test_printed_table_of_a_model(capsys):
    assert flax_vision_main(["summary", "googlenet"]) == 0
    printed = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    (shown,) = re.findall(r"```\n(layer .*?)```", README, re.DOTALL)
    assert shown.splitlines() == printed[: len(shown.splitlines())]


@pytest.mark.slow
def test_printed_table_of_two_columns(capsys):
    (line,) = [line for line in OTHERS if " --mesh " in line]
    assert flax_vision_main(shlex.split(line)[1:]) == 0
    printed = "\n".join(line.rstrip() for line in capsys.readouterr().out.splitlines())
    (shown,) = re.findall(r"```\n(column=2: .*?)```", README, re.DOTALL)
    assert shown in printed
    (bytes_of_data,) = re.findall(r"gradients, ([\d,]+) bytes a step", README)
    assert f" {bytes_of_data} " in printed.splitlines()[-1]


def test_names_in_the_table_of_models_exist():
    table = README[README.index("| | names | options |") : README.index("All take float32")]
    cells = [line.split("|") for line in table.strip().splitlines()[2:]]
    names = {name for cell in cells for name in re.findall(r"`(\w+)`", cell[2])} - {"_bn"}
    options = {option for cell in cells for option in re.findall(r"`(\w+)`", cell[3])}
    assert names <= set(fv.list_models())
    assert options <= {option for name in names for option in model_options(name)}
