import numpy as np
import pytest

from tf_metamixup.core.errors import UserError
from tf_metamixup.data import label_noise

LABELS = np.arange(20_000) % 4
CLASSES = ["a", "b", "c", "d"]


def noisy(text, labels=LABELS, classes=CLASSES, ids=None, seed=0):
    return label_noise.noisy(text, labels, classes, ids, seed)


def test_symmetric_noise_makes_its_share_wrong_and_all_wrong_classes_alike():
    made = noisy("symmetric(0.3)")
    wrong = made != LABELS
    assert abs(wrong.mean() - 0.3) < 0.01
    shares = np.bincount((made - LABELS)[wrong] % 4, minlength=4) / wrong.sum()
    np.testing.assert_allclose(shares, [0, 1 / 3, 1 / 3, 1 / 3], atol=0.02)


def test_asymmetric_noise_goes_to_the_next_class_or_to_what_cifar10_confuses():
    made = noisy("asymmetric(0.4)")
    assert set((made - LABELS) % 4) == {0, 1}
    assert abs((made != LABELS).mean() - 0.4) < 0.01
    names = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship"]
    names.append("truck")
    made = noisy("asymmetric(1.0)", np.arange(10), names)
    assert [names[k] for k in made] == [
        *("airplane", "automobile", "airplane", "dog", "horse", "cat", "frog", "horse", "ship"),
        "automobile",
    ]


def test_noise_is_a_function_of_the_seed():
    np.testing.assert_array_equal(noisy("symmetric"), noisy("symmetric"))
    assert (noisy("symmetric") != noisy("symmetric", seed=1)).any()


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "people.npz"
    np.savez(path, id=np.array([b"x1", b"x0", b"x2"]), people=np.array([1, 0, 3]))
    return path


def test_labels_are_read_by_the_id_of_the_image(file):
    made = noisy(f"file('{file}', column='people')", np.zeros(3), ids=["x0", "x1", "x2"])
    np.testing.assert_array_equal(made, [0, 1, 3])


@pytest.mark.parametrize(
    ("ids", "column", "says"),
    [
        (["x0", "x1", "x9"], "people", "no label for 1 images: x9"),
        (None, "people", "no ids"),
        (["x0"], "machine", "no array machine; it has id, people"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(file, ids, column, says):
    with pytest.raises(UserError, match=says):
        noisy(f"file('{file}', column='{column}')", np.zeros(3), ids=ids)


@pytest.mark.parametrize(
    "labels", [[1.0, 0.0, 2.7], ["cat", "dog", "cat"], np.eye(3, dtype=int), [1, 0]]
)
def test_labels_that_are_no_classes_are_refused(tmp_path, labels):
    path = tmp_path / "labels.npz"
    np.savez(path, id=np.array([b"x0", b"x1", b"x2"]), people=np.array(labels))
    with pytest.raises(UserError, match="one integer for each of the 3 in id"):
        noisy(f"file('{path}', column='people')", np.zeros(3), ids=["x0", "x1", "x2"])


def test_code_in_a_file_of_labels_is_not_executed(tmp_path):
    class Code:
        def __reduce__(self):
            return (tmp_path / "executed").touch, ()

    path = tmp_path / "labels.npz"
    np.savez(path, id=np.array([b"x0"]), people=np.array([Code()], object))
    with pytest.raises(UserError, match="cannot read"):
        noisy(f"file('{path}', column='people')", np.zeros(1), ids=["x0"])
    assert not (tmp_path / "executed").exists()


def test_a_file_cut_short_is_refused(file):
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(UserError, match="cannot read"):
        noisy(f"file('{file}', column='people')", np.zeros(3), ids=["x0", "x1", "x2"])


def test_what_is_no_noise_is_refused(tmp_path):
    for text, says in [
        ("symmetric(1.5)", "rate=1.5"),
        ("symetric(0.4)", "did you mean"),
        (f"file('{tmp_path}/none.npz')", "cannot read"),
    ]:
        with pytest.raises(UserError, match=says):
            noisy(text)
