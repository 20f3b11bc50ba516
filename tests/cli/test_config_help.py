import pytest

from flax_vision.cli.config_help import topic_help
from flax_vision.cli.train import main
from flax_vision.errors import UserError
from flax_vision.models.catalog import CATALOG
from flax_vision.models.registry import model_options


def test_page_of_a_key():
    assert topic_help("schedule.boundaries") == (
        "config.schedule.boundaries\n"
        "  Epochs at which the rate changes, for piecewise.\n"
        "  type:     tuple; epochs, the earlier first\n"
        "  default:  (); a config file may set another\n"
        "  example:  '--config.schedule.boundaries=(30, 60)'\n"
    )


def test_page_of_a_section_has_its_own_keys_only():
    text = topic_help("schedule.warmup")
    assert text.startswith("The first epochs of the schedule\n  schedule.warmup.epochs = 0.0")
    assert "schedule.lr" not in text


def test_unknown_key():
    with pytest.raises(UserError, match="config.schedule.lrr is not a key; .* 'config.schedule.lr"):
        topic_help("schedule.lrr")


@pytest.mark.parametrize("name", ["config.seed", "seed"])
def test_program_prints_the_page(name, capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--help", name])
    assert capsys.readouterr().out.startswith("config.seed\n")


def test_program_names_an_unknown_key(capsys):
    assert main(["--help", "lr"]) == 2
    assert "error: config.lr is not a key" in capsys.readouterr().err


def test_page_of_a_model_has_its_options():
    text = topic_help("lenet5")
    assert text.startswith("The options of lenet5\n  model.codes = 'digits'  (digits or random)\n")
    assert "  model.background = -0.1  (number)\n      Value around the images, " in text
    assert "  model.dtype = 'float32'  (text)\n" in text
    assert all(len(line) <= 100 for line in text.splitlines())


def test_page_of_an_option_lists_its_models():
    text = topic_help("model.background")
    assert "      Value around the images, up to 32x32.\n" in text
    assert text.endswith("      Models: lenet5, lenet5_modern, lenet4, lenet1.\n")


@pytest.mark.parametrize("name", CATALOG)
def test_every_model_has_a_page(name):
    assert topic_help(name).count("  model.") == len(model_options(name))
