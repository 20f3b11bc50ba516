import pytest

from flax_vision.training.config_keys import KEYS, SECTIONS
from flax_vision.training.config_schema import check, default_config
from flax_vision.training.config_values import STORED_FORMS


@pytest.mark.parametrize("key", KEYS)
def test_every_key_has_a_section_and_a_sentence(key):
    assert key.rpartition(".")[0] in SECTIONS
    assert KEYS[key].meaning.endswith(".")


@pytest.mark.parametrize("key", [key for key, entry in KEYS.items() if entry.example is not None])
def test_examples_are_valid(key):
    value = STORED_FORMS.get(key, lambda x: x)(KEYS[key].example)
    others = {
        "data.image_dir": {"data.name": "folder"},
        "data.image_column": {"data.name": "hf:birds"},
        "data.label_column": {"data.name": "hf:birds"},
        "init_pattern": {"init_from": "run"},
        "optimizer.b2": {"optimizer.name": "adam"},
    }
    config = default_config()
    config.update_from_flattened_dict({key: value, **others.get(key, {})})
    if key == "schedule.boundaries":
        config.schedule.decay_factors = KEYS["schedule.decay_factors"].example
    if key == "schedule.decay_factors":
        config.schedule.boundaries = KEYS["schedule.boundaries"].example
    check(config)
    assert type(value) in (type(KEYS[key].default), int)
