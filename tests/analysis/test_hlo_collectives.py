"""Lines as XLA prints them, in every form of shapes and of groups."""

import pytest

from flax_vision.analysis.hlo_collectives import Collective, collectives

LISTED = "replica_groups={{0,1},{2,3}}"


def sent(line, devices=4):
    (collective,) = collectives(line, devices)
    return collective.sent


def test_name_and_kind():
    line = (
        "  %all_gather.9 = f32[4,3]{1,0} all-gather(%fusion), channel_id=1, "
        f'{LISTED}, dimensions={{1}}, metadata={{op_name="jit(f)/jvp(AlexNet)/conv3/all_gather"}}'
    )
    (found,) = collectives(line, 4)
    assert found == Collective("all-gather", "jit(f)/jvp(AlexNet)/conv3/all_gather", 24)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("all-gather", 20),  # half of the 10 numbers that each has then is its own
        ("reduce-scatter", 40),  # it keeps 10 of 20, and sends the other 10
        ("all-reduce", 40),  # half of 10 to be summed, and the sum of the other half
        ("all-to-all", 20),
        ("collective-permute", 40),
    ],
)
def test_what_each_of_two_devices_sends(kind, expected):
    assert sent(f"x = f32[10]{{0}} {kind}(y), {LISTED}") == expected


def test_what_each_of_four_devices_sends():
    assert sent("x = f32[8] all-gather(y), replica_groups={{0,1,2,3}}") == 24
    assert sent("x = f32[8] reduce-scatter(y), replica_groups={{0,1,2,3}}") == 96
    assert sent("x = f32[8] all-reduce(y), replica_groups={{0,1,2,3}}") == 48


@pytest.mark.parametrize(
    ("groups", "devices_of_each"),
    [
        ("{{0,1},{2,3}}", 2),
        ("{{0,1,2,3}}", 4),
        ("{}", 4),
        ("[2,2]<=[4]", 2),
        ("[1,4]<=[2,2]T(1,0)", 4),
        ("mesh['a'=2,'b'=2] {'a'}", 2),
        ("mesh['a'=2,'b'=2] {'a','b'}", 4),
        ("mesh['a'=4,'b'=1] {'b'}", 1),
    ],
)
def test_forms_of_groups(groups, devices_of_each):
    line = f"x = f32[4] all-gather(y), channel_id=1, replica_groups={groups}, dimensions={{0}}"
    assert sent(line) == 16 - 16 // devices_of_each


@pytest.mark.parametrize(
    ("result", "size"),
    [
        ("f32[2,3]{1,0:T(8,128)}", 24),
        ("f32[]", 4),
        ("bf16[6]{0}", 12),
        ("pred[8]{0}", 8),
        ("u8[8]", 8),
        ("s64[2]", 16),
        ("(f32[4]{0}, /*index=1*/f32[2,2]{1,0})", 32),
    ],
)
def test_bytes_of_a_result(result, size):
    assert sent(f"%x.1 = {result} collective-permute(%y)") == size


def test_other_instructions_send_nothing():
    program = "\n".join(
        [
            "%all-reduce.1 = f32[2] fusion(%y), calls=%all-gather.3",
            "ROOT %t = (f32[2]) tuple(%all-reduce.1)",
            '%c = f32[2] custom-call(%y), metadata={op_name="jit(f)/all_gather"}',
        ]
    )
    assert list(collectives(program, 2)) == []


@pytest.mark.parametrize("kind", ["ragged-all-to-all", "all-gather-start", "collective-broadcast"])
def test_what_is_not_known_is_an_error(kind):
    with pytest.raises(ValueError, match=f"unsupported collective {kind}"):
        list(collectives(f"x = f32[2] {kind}(y)", 2))
