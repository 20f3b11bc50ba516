"""Programs whose standard streams are closed, full, or lack characters."""

import os
import subprocess
import sys

import pytest

from flax_vision.runtime import terminal

CLI = "import sys, flax_vision.cli.main as c; sys.exit(c.main())"
TRAIN = "import sys, flax_vision.cli.train as c; sys.exit(c.main())"
CONFIGURED = "from flax_vision.runtime.terminal import configure_streams\n"


def run(program, *arguments, redirected="", **environment):
    """Returns the exit status, the output and the errors of a Python program."""
    shell = ["sh", "-c", f'exec "$@" {redirected}', "sh"]
    done = subprocess.run(
        [*shell, sys.executable, "-c", program, *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def test_closed_output_is_one_line():
    status, _, errors = run(CLI, "models", redirected=">&-")
    assert (status, errors.count("\n")) == (2, 1)
    assert errors.startswith("error: standard output is closed; redirect it to a file")


def test_closed_streams_are_no_traceback():
    assert run(CLI, "models", redirected="<&- >&- 2>&-") == (2, "", "")


def test_closed_errors_are_not_mixed_with_output():
    assert run(CLI, "models", "lenet6", redirected="2>&-") == (2, "", "")


@pytest.mark.slow
def test_training_warns_about_closed_output_and_continues():
    status, _, errors = run(TRAIN, "--config", "missing.py", redirected=">&-")
    assert (status, errors.count("\n")) == (2, 2)
    assert errors.startswith(
        "warning: standard output is closed; metrics.jsonl of the run shows its"
    )
    assert "error: no config file 'missing.py'" in errors


@pytest.mark.parametrize(("program", "argument"), [(CLI, "models"), (CLI, "-h"), (TRAIN, "-h")])
def test_full_output_is_one_line(program, argument):
    status, _, errors = run(program, argument, redirected="> /dev/full")
    assert (status, errors.count("\n")) == (2, 1)
    assert errors.startswith("error: standard output cannot be written (No space left on device); ")


def test_opened_files_do_not_replace_closed_streams(tmp_path):
    program = CONFIGURED + (
        f"import os; assert not configure_streams(); file = open({str(tmp_path / 'data')!r}, 'w')\n"
        "print('lost'); os.write(1, b'lost'); os.write(2, b'lost'); file.write('kept')"
    )
    assert run(program, redirected="<&- >&- 2>&-")[0] == 0
    assert (tmp_path / "data").read_text() == "kept"


def test_characters_missing_in_the_encoding_are_escaped():
    program = CONFIGURED + r"assert configure_streams(); print('\u6f22 caf\u00e9 caf\udce9')"
    found = run(program, PYTHONIOENCODING="ascii")
    assert found == (0, "\\u6f22 caf\\xe9 caf\\udce9\n", "")


def test_messages_are_one_printable_line(capsys):
    terminal.print_error("\x1b[2J\ncat")
    terminal.print_warning("\udce9")
    assert capsys.readouterr().err == "error: \\x1b[2J\\ncat\nwarning: \\udce9\n"


def test_library_callers_get_warnings_of_python():
    def work():
        terminal.warn("slower")

    with pytest.warns(UserWarning, match="slower") as caught:
        work()
    assert caught[0].filename == __file__
    assert caught[0].lineno == work.__code__.co_firstlineno + 4  # the line that calls it
