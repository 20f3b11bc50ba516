import pytest

from flax_vision.cli import main


def test_models(capsys):
    assert main(["models", "lenet5*"]) == 0
    assert capsys.readouterr().out.split() == ["lenet5", "lenet5_modern"]


def test_pattern_that_matches_nothing(capsys):
    assert main(["models", "vgg"]) == 2
    assert "no network matches 'vgg'; valid: lenet5" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["modles"]])
def test_command_that_does_not_exist(arguments, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    assert "COMMAND" in capsys.readouterr().err
