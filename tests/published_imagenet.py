"""Small archives in the formats of ImageNet and Imagenette."""

import io
import tarfile

import numpy as np
from PIL import Image

CLASSES = ["n01440764", "n01739381", "n02105855", "n02979186"]
COUNTS = {"train": 14, "validation": 6, "test": 3}
IMAGENETTE_COUNTS = {"train": 8, "validation": 5}
VALIDATION_LABELS = [CLASSES[i] for i in (2, 0, 3, 1, 1, 2)]

CMYK, PNG = "n01739381_1309.JPEG", "n02105855_2933.JPEG"
"""Names in TFDS's lists of the images that are no RGB JPEG."""

TRAIN_NAMES = {
    "n01440764": [f"n01440764_{i}.JPEG" for i in (18, 36, 10026)],
    "n01739381": [f"n01739381_{i}.JPEG" for i in (7, 1309, 2)],
    "n02105855": [f"n02105855_{i}.JPEG" for i in (2933, 1, 3, 4)],
    "n02979186": [f"n02979186_{i}.JPEG" for i in range(4)],
}


def encoded(name, size=(40, 30)):
    """Returns an image whose pixels depend on its name: CMYK or PNG where ImageNet has it so."""
    random = np.random.default_rng(list(name.encode()))
    bands = 4 if name == CMYK else 3
    pixels = random.integers(0, 256, (size[1] // 10, size[0] // 10, bands), np.uint8)
    image = Image.fromarray(pixels, "CMYK" if bands == 4 else "RGB").resize(size)
    file = io.BytesIO()
    image.save(file, "png" if name == PNG else "jpeg", quality=random.integers(30, 95).item())
    return file.getvalue()


def tar(members, mode="w"):
    """Returns a tar of files, as GNU tar writes it."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=mode, format=tarfile.GNU_FORMAT) as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return file.getvalue()


def class_archives():
    """Returns the archives of the classes by name, in another order than the labels."""
    return {
        f"{name}.tar": tar({image: encoded(image) for image in TRAIN_NAMES[name]})
        for name in reversed(CLASSES)
    }


def numbered_names(split):
    """Returns the names of the validation or the test images, as they lie in the archive."""
    numbers = np.random.default_rng(0).permutation(COUNTS[split]) + 1
    return [f"ILSVRC2012_{split[:4].removesuffix('i')}_{i:08d}.JPEG" for i in numbers]


def imagenet_archives(with_test=False):
    """Returns the archives of ImageNet by published name."""
    archives = {"ILSVRC2012_img_train.tar": tar(class_archives())}
    names = numbered_names("validation")
    archives["ILSVRC2012_img_val.tar"] = tar({name: encoded(name) for name in names})
    if with_test:
        names = numbered_names("test")
        archives["ILSVRC2012_img_test.tar"] = tar({name: encoded(name) for name in names})
    return archives


def imagenette_archives(folder):
    """Returns the archive of a configuration, such as `imagenette2-160`, by published name."""
    classes = [CLASSES[3], CLASSES[0]]
    members = {f"{folder}/noise_imagenette.csv": b"path,noisy\n"}
    for split, count in (("val", 5), ("train", 8)):
        for i in range(count):
            name = f"{classes[i % 2]}_{i + count}.JPEG"
            members[f"{folder}/{split}/{classes[i % 2]}/{name}"] = encoded(name)
    return {f"{folder}.tgz": tar(members, "w:gz")}
