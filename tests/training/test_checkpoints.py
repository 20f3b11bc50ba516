import contextlib
import errno
import resource
import shutil

import chex
import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest

from flax_vision.errors import UserError
from flax_vision.training.checkpoints import Checkpoints
from flax_vision.weights.array_tree import load_tree, save_tree
from flax_vision.weights.run_checkpoints import CorruptCheckpointError


def make_state(step: int):
    # Large enough to be stored in files of its own.
    weights = jax.random.normal(jax.random.key(step), (5000,))
    return {"step": jnp.int32(step), "key": jax.random.key(step), "params": {"w": weights}}


ABSTRACT = jax.tree.map(
    lambda x: jax.ShapeDtypeStruct(
        x.shape, x.dtype, sharding=jax.sharding.SingleDeviceSharding(jax.devices()[0])
    ),
    make_state(0),
)


@pytest.fixture
def open_checkpoints(tmp_path):
    opened = []

    def open_checkpoints(max_to_keep=2, best=lambda: None) -> Checkpoints:
        opened.append(Checkpoints(tmp_path / "checkpoints", max_to_keep, best))
        return opened[-1]

    yield open_checkpoints
    for checkpoints in opened:
        checkpoints.close()


@pytest.fixture
def saved(open_checkpoints):
    """Checkpoints of the steps 10 and 20."""
    checkpoints = open_checkpoints()
    for step in (10, 20):
        checkpoints.save(step, make_state(step), [{"step": step}])
    checkpoints.wait()
    return checkpoints


def assert_is_step(found, step: int):
    state, history = found
    data = jax.tree.map(np.asarray, {**state, "key": jax.random.key_data(state["key"])})
    expected = make_state(step)
    chex.assert_trees_all_equal(data, {**expected, "key": jax.random.key_data(expected["key"])})
    assert history == [{"step": step}]


def test_newest_comes_back_to_the_bit(saved, open_checkpoints):
    assert_is_step(open_checkpoints().restore_newest(ABSTRACT, pytest.fail), 20)


def test_nothing_saved_is_nothing_found(open_checkpoints):
    assert open_checkpoints().restore_newest(ABSTRACT, pytest.fail) is None


def test_newest_few_and_the_best_are_kept(open_checkpoints):
    checkpoints = open_checkpoints(max_to_keep=2, best=lambda: 2)
    for step in range(1, 7):
        checkpoints.save(step, make_state(step), [])
    checkpoints.wait()
    assert checkpoints.steps() == [2, 5, 6]


def test_step_that_is_saved_already_is_not_saved_again(saved):
    saved.save(20, make_state(99), [])
    saved.wait()
    assert_is_step(saved.restore(20, ABSTRACT), 20)


def test_history_may_grow_while_it_is_written(open_checkpoints):
    checkpoints, history = open_checkpoints(max_to_keep=20), []
    for step in range(10):
        checkpoints.save(step, make_state(step), history)
        history.append({"step": step})
    checkpoints.wait()
    for step in range(10):
        assert checkpoints.restore(step, ABSTRACT)[1] == history[:step]


def files_of(tmp_path, step):
    """The files without which the checkpoint is not whole."""
    folder = tmp_path / "checkpoints" / str(step)
    data = [f for f in folder.rglob("*") if f.is_file() and f.stat().st_size > 10_000]
    assert data
    return [*data, folder / "history/metadata", folder / "state/manifest.ocdbt"]


def flip_a_bit(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def cut_in_half(file):
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


@pytest.mark.parametrize("which", [0, -2, -1])
@pytest.mark.parametrize("damage", [flip_a_bit, cut_in_half, lambda file: file.unlink()])
def test_damaged_newest_gives_way_to_the_one_before(damage, which, tmp_path, saved):
    damage(files_of(tmp_path, 20)[which])
    with pytest.raises(CorruptCheckpointError, match="checkpoint of step 20 is damaged"):
        saved.restore(20, ABSTRACT)
    warnings = []
    assert_is_step(saved.restore_newest(ABSTRACT, warnings.append), 10)
    assert len(warnings) == 1
    assert "step 20 is damaged" in warnings[0]
    assert "resuming from step 10" in warnings[0]
    assert (tmp_path / "checkpoints.damaged/20/state").is_dir()
    assert saved.steps() == [10]


def test_checkpoint_without_its_checksums_is_damaged(tmp_path, saved):
    (tmp_path / "checkpoints/20/sha256.json").unlink()
    with pytest.raises(CorruptCheckpointError, match="it has no sha256.json"):
        saved.restore(20, ABSTRACT)


def test_file_is_named_and_orbax_is_not_asked(tmp_path, saved, monkeypatch):
    flip_a_bit(tmp_path / "checkpoints/20/state/manifest.ocdbt")
    monkeypatch.setattr(ocp.CheckpointManager, "restore", pytest.fail)
    with pytest.raises(
        CorruptCheckpointError, match="'state/manifest.ocdbt' is not as it was written"
    ):
        saved.restore(20, ABSTRACT)


def test_step_can_be_saved_again_where_it_was_damaged(tmp_path, saved):
    flip_a_bit(files_of(tmp_path, 20)[0])
    saved.restore_newest(ABSTRACT, lambda warning: None)
    saved.save(20, make_state(20), [{"step": 20}])
    saved.wait()
    assert_is_step(saved.restore(20, ABSTRACT), 20)


def test_nothing_is_touched_where_everything_is_damaged(tmp_path, saved):
    for step in (10, 20):
        flip_a_bit(files_of(tmp_path, step)[0])
    with pytest.raises(UserError, match="none of 2 checkpoints in .*step 20 is damaged.*workdir"):
        saved.restore_newest(ABSTRACT, pytest.fail)
    assert saved.steps() == [10, 20]


def test_half_written_checkpoint_is_no_checkpoint(tmp_path, saved, open_checkpoints):
    folder = tmp_path / "checkpoints"
    shutil.copytree(folder / "20", folder / "30.orbax-checkpoint-tmp")
    checkpoints = open_checkpoints()
    assert checkpoints.steps() == [10, 20]
    assert_is_step(checkpoints.restore_newest(ABSTRACT, pytest.fail), 20)
    checkpoints.save(30, make_state(30), [{"step": 30}])
    checkpoints.wait()
    assert_is_step(checkpoints.restore(30, ABSTRACT), 30)
    assert not (folder / "30.orbax-checkpoint-tmp").exists()


def test_no_room_is_found_out_before_anything_is_written(monkeypatch, saved):
    usage = shutil.disk_usage("/")._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(OSError, match="No space left.*0.00 MB are free"):
        saved.save(30, make_state(30), [])
    assert saved.steps() == [10, 20]


@contextlib.contextmanager
def files_of_at_most(size):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.usefixtures("files_are_damaged")
def test_files_that_may_not_be_as_large_are_an_error_and_no_page_of_them(
    saved, tmp_path, caplog, capfd
):
    large = np.random.default_rng(0).random(1 << 17)
    with files_of_at_most(1 << 16):
        saved.save(30, {"large": large}, [])
        with pytest.raises(OSError, match="File too large") as raised:
            saved.wait()
        with pytest.raises(OSError, match="File too large"):
            save_tree(tmp_path / "tree", {"large": large})
    assert raised.value.errno == errno.EFBIG
    assert {"10", "20"} < {path.name for path in (tmp_path / "checkpoints").iterdir()}
    assert not caplog.records
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    "reason", ["No space left on device", "Disk quota exceeded", "Read-only file system"]
)
def test_disk_that_fills_up_meanwhile(reason, monkeypatch, saved):
    def fail(self, *args, **kwargs):
        raise ValueError(f"RESOURCE_EXHAUSTED: Failed to write 26526 bytes [OS error 28: {reason}]")

    with monkeypatch.context() as patch:
        patch.setattr(ocp.CheckpointManager, "wait_until_finished", fail)
        with pytest.raises(OSError, match=reason):
            saved.wait()


def test_orbax_that_waits_too_long_is_named(monkeypatch, saved):
    def fail(self, *args, **kwargs):
        raise TimeoutError("Timed out after 3600.1 seconds.")

    with monkeypatch.context() as patch:
        patch.setattr(ocp.CheckpointManager, "wait_until_finished", fail)
        with pytest.raises(UserError, match="Orbax waited too long for the disk .Timed out"):
            saved.wait()


def test_errors_name_the_directory(monkeypatch, saved, tmp_path):
    def fail(self, *args, **kwargs):
        raise ValueError("Failed to write 26526 bytes [OS error 28: No space left on device]")

    with monkeypatch.context() as patch:
        patch.setattr(ocp.CheckpointManager, "wait_until_finished", fail)
        with pytest.raises(OSError, match="No space left") as raised:
            saved.wait()
    assert raised.value.filename == str(tmp_path / "checkpoints")


def test_step_that_orbax_does_not_save_is_an_error(saved):
    with pytest.raises(UserError, match="Orbax does not save step 15: .* has the steps 10, 20. Re"):
        saved.save(15, make_state(15), [])


@pytest.mark.parametrize("name", ["15", "999999"])
def test_later_checkpoints_than_that_of_the_run_are_moved_aside(name, saved, tmp_path):
    shutil.copytree(tmp_path / "checkpoints/10", tmp_path / "checkpoints" / name)
    saved._manager.reload()
    warnings = []
    saved.set_aside_after(10, warnings.append)
    assert saved.steps() == [10]
    assert len(warnings) == 2
    message = f"checkpoint {name} is later than step 10; it was moved to "
    assert message in " ".join(warnings)
    assert (tmp_path / "checkpoints.damaged" / name).is_dir()
    saved.save(15, make_state(15), [{"step": 15}])
    saved.wait()
    assert_is_step(saved.restore(15, ABSTRACT), 15)


def test_tree_is_read_onto_one_device_wherever_it_was_written(tmp_path):
    mesh = jax.make_mesh((2,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    sharding = jax.NamedSharding(mesh, jax.P("data"))
    tree = {"a": jax.device_put(jnp.arange(8.0), sharding), "b": [jnp.int32(3)]}
    save_tree(tmp_path / "tree", tree)
    loaded = load_tree(tmp_path / "tree")
    chex.assert_trees_all_equal(loaded, tree)
    assert all(leaf.devices() == {jax.devices()[0]} for leaf in jax.tree.leaves(loaded))
