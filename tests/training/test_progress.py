from flax_vision.training.progress import TrainingObserver


def test_unreadable_images_are_warned_about_once(capsys):
    observer = TrainingObserver()
    for text in ("", "1 image", "1 image", "2 images"):
        observer.left_out(text)
    assert capsys.readouterr().err == "warning: 1 image\nwarning: 2 images\n"


def test_observer_prints_warnings_only(tmp_path, capsys):
    observer = TrainingObserver()
    observer.line("compiled")
    observer.reading("mnist", 1, 2)
    observer.result("lenet5 on mnist", {}, tmp_path, None)
    assert not observer.is_due
    assert capsys.readouterr() == ("", "")
