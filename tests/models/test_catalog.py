import pytest
from abstract import rows_of

import flax_vision as fv
from flax_vision.errors import UserError
from flax_vision.models.catalog import CATALOG, RESNET, find

DEEPEST = ("resnet101", "resnet152", "resnet1202")
NAMES = [
    pytest.param(name, marks=pytest.mark.slow) if name.startswith(DEEPEST) else name
    for name in CATALOG
]


def test_catalog_has_every_model():
    assert sorted(CATALOG) == fv.list_models()


@pytest.mark.parametrize("name", NAMES)
def test_numbers_equal_the_modules(name):
    main = [row for row in rows_of(name).values() if not row.is_auxiliary]
    assert CATALOG[name].parameters == sum(row.parameters for row in main)
    assert CATALOG[name].multiply_adds == sum(row.multiply_adds for row in main)


def test_find():
    assert list(find("resnet2?")) == ["resnet20"]
    assert find("resnet20")["resnet20"].paper is RESNET
    assert RESNET.year == 2015
    assert find() == CATALOG
    with pytest.raises(UserError, match="no model matches 'vgg'; valid: alexnet, alexnet_cifar"):
        find("vgg")
