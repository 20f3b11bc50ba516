import pytest
from prepared_sets import ignore
from prepared_sets import prepare as prepare_set
from published_imagenet import TRAIN_NAMES, class_archives, encoded, numbered_names, tar

from flax_vision.errors import UserError

TRAIN, VALIDATION = "ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar"


def prepare(folder, directory, on_progress=ignore):
    return prepare_set("imagenet2012", folder, directory, on_progress)


def wrong_class(archives):
    archives["n99999999.tar"] = archives.pop("n01440764.tar")


def missing_class(archives):
    del archives["n02979186.tar"]


def wrong_image(archives):
    archives["n01440764.tar"] = tar({"n02979186_7.JPEG": encoded("x")})


def missing_image(archives):
    archives["n01440764.tar"] = tar(dict.fromkeys(TRAIN_NAMES["n01440764"][:-1], b"x"))


def repeated_image(archives):
    archives["n01440764.tar"] = tar({"n01440764_18.JPEG": b"x", "./n01440764_18.JPEG": b"y"})
    archives["n02979186.tar"] = tar({f"n02979186_{i}.JPEG": b"x" for i in range(5)})


def cut_class(archives):
    archives["n01440764.tar"] = archives["n01440764.tar"][:1200]


def damaged_cmyk(archives):
    archives["n01739381.tar"] = tar(dict.fromkeys(TRAIN_NAMES["n01739381"], b"x"))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (wrong_class, "n99999999.tar is not an archive of one of the 4 classes"),
        (missing_class, "1 of its classes are missing, such as n02979186"),
        (wrong_image, "n02979186_7.JPEG in n01440764.tar is not an image of the class"),
        (missing_image, "it has 13 train images, not 14"),
        (repeated_image, "two images have the same name"),
        (
            cut_class,
            "in n01440764.tar is not an image of the class|n01440764.tar is truncated|unexpected",
        ),
        (damaged_cmyk, "cannot identify image"),
    ],
)
def test_wrong_training_archives(change, reason, imagenet_folder, tmp_path):
    archives = class_archives()
    change(archives)
    replaced = {TRAIN: tar(archives) + bytes(50_000)}
    with pytest.raises(UserError, match=f"{TRAIN}' is damaged or another file .*{reason}"):
        prepare(imagenet_folder(replaced), tmp_path / "data")
    assert [entry.name for entry in (tmp_path / "data").iterdir()] == ["downloads"]


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (["n01440764.tar"], "n01440764.tar is not an image of the validation split"),
        (["ILSVRC2012_val_00000007.JPEG"], "00000007.JPEG is not an image of the validation split"),
        (numbered_names("validation")[:-1], "it has 5 validation images, not 6"),
        (numbered_names("test"), "ILSVRC2012_test_.* is not an image of the validation split"),
    ],
)
def test_wrong_validation_archives(names, reason, imagenet_folder, tmp_path):
    replaced = {VALIDATION: tar(dict.fromkeys(names, b"x")) + bytes(50_000)}
    with pytest.raises(UserError, match=f"{VALIDATION}' is damaged or another file .*{reason}"):
        prepare(imagenet_folder(replaced), tmp_path)


@pytest.mark.parametrize("name", [TRAIN, VALIDATION])
@pytest.mark.parametrize("length", [0, 700, -9000])
def test_cut_archives(name, length, imagenet_folder, tmp_path):
    folder = imagenet_folder()
    whole = (folder / name).read_bytes()
    (folder / name).write_bytes(whole[:length])
    with pytest.raises(UserError, match=f"{name}' is truncated: it has .* of {len(whole):,} bytes"):
        prepare(folder, tmp_path)


@pytest.mark.parametrize("name", [TRAIN, VALIDATION])
@pytest.mark.parametrize("length", [700, 3000, 5000])
def test_end_of_an_archive_is_lost(name, length, imagenet_folder, tmp_path):
    folder = imagenet_folder()
    whole = (folder / name).read_bytes()
    lost = whole[:length] + bytes(len(whole) - length)
    (folder / name).write_bytes(lost)
    with pytest.raises(UserError, match=f"{name}' is damaged or another file"):
        prepare(folder, tmp_path)


def test_archive_that_is_cut_while_it_is_read(imagenet_folder, tmp_path):
    folder = imagenet_folder()

    def cut(task, done, total):
        if "index" not in task:
            with (folder / VALIDATION).open("r+b") as file:
                file.truncate(1000)

    with pytest.raises(UserError, match="is damaged or another file .*JPEG is truncated"):
        prepare(folder, tmp_path, cut)
