import pytest

from flax_vision.runtime.native_build import UnavailableError, compile_library


@pytest.mark.parametrize(
    ("compiler", "reason"), [('"', "which is no command"), ("{}", "cannot be started")]
)
def test_an_unusable_compiler_is_named(compiler, reason, tmp_path, monkeypatch):
    (tmp_path / "program").write_text("no program")
    (tmp_path / "program").chmod(0o755)
    monkeypatch.setenv("CXX", compiler.format(tmp_path / "program"))
    with pytest.raises(UnavailableError, match=reason):
        compile_library(b"", [], tmp_path / "library.so")
