import pytest

from flax_vision.data import fast_jpeg


@pytest.fixture(params=["fast-jpeg", "Pillow"])
def decoder(request, monkeypatch):
    if request.param == "Pillow":
        monkeypatch.setattr(fast_jpeg, "simplejpeg", None)
    elif fast_jpeg.simplejpeg is None:
        pytest.skip("its libraries are in the extra `fast-jpeg`")
    return request.param
