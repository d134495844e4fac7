import numpy as np
import pytest
from PIL import Image

from tf_metamixup.config import Config
from tf_metamixup.core.errors import UserError
from tf_metamixup.data import prepare, sources
from tf_metamixup.data.contents import changes

HEAD = "file,label,split,trusted_label"
ROWS = ["a.png,cat,,", "b.png,dog,train,", "c.png,cat,,", "d.png,dog,,"]


@pytest.fixture
def write(tmp_path):
    """Writes a table beside grey images a.png to h.png, and returns its name as a data set."""
    for number, name in enumerate("abcdefgh"):
        Image.new("L", (3, 4), 10 * number).save(tmp_path / f"{name}.png")

    def write(*rows, head=HEAD):
        (tmp_path / "pets.csv").write_text("\n".join([head, *rows, ""]))
        return f"table:{tmp_path}/pets.csv"

    return write


@pytest.mark.filterwarnings("ignore:.* has no image of dog")
def test_a_table_names_the_images_of_each_part(write):
    more = ["e.png,,,", "f.png,dog,unlabelled,", "g.png,dog,,cat", "h.png,cat,val,"]
    source = sources.load(write(*ROWS, *more))
    assert source.classes == ["cat", "dog"]
    assert source.train.ids == [
        *("a.png", "b.png", "c.png", "d.png", "unlabelled/e.png", "unlabelled/f.png"),
        "trusted/g.png",
    ]
    assert source.train.labels.tolist() == [0, 1, 0, 1, -1, -1, 0]
    assert source.train.images[:, 0, 0, 0].tolist() == [0, 10, 20, 30, 40, 50, 60]
    assert (source.trusted.tolist(), source.given.tolist()) == ([6], [1])
    assert (source.val.labels.tolist(), source.test) == ([0], None)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("label", "known"), [("cat", [0, 0, 1, 0]), ("", None), ("cow", None)])
def test_an_audit_knows_the_labels_that_checked_images_were_given(write, label, known):
    checked = ["e.png,cat,,cat", f"f.png,{label},,dog", "g.png,dog,,dog", "h.png,cat,,cat"]
    source = sources.load(write(*ROWS, *checked))
    config = Config(dataset=source.name, meta_source="heldout", batch_size=2, val_fraction=0.1)
    made = prepare(source, config.resolve().resolve(data=source.info), audits="apart")
    assert made.audited.labels.tolist() == [0, 1, 1, 0]
    given = None if made.audited.given is None else made.audited.given.tolist()
    assert given == known


@pytest.mark.filterwarnings("error")
def test_labels_that_checked_validation_images_were_given_do_not_matter(write):
    checked = ["e.png,cow,val,cat", "f.png,,val,dog", "g.png,cat,,cat", "h.png,cat,,dog"]
    source = sources.load(write(*ROWS, *checked))
    assert (source.val.labels.tolist(), source.given.tolist()) == ([0, 1], [0, 0])


@pytest.mark.parametrize("labels", [("0_9", "10_19"), ("inf", "infinity"), ("1-5", "6-10")])
def test_names_that_only_python_takes_for_numbers_are_classes(write, labels):
    source = sources.load(write(*(f"{n}.png,{labels[n > 'b']},," for n in "abcd")))
    assert source.classes == list(labels)


def test_split_and_trusted_label_may_be_missing_and_cells_quoted(write):
    source = sources.load(write('"a.png",10', "b.png,9", "", " c.png , 10 ", head="file,label"))
    assert source.classes == ["9", "10"]
    assert source.train.labels.tolist() == [1, 0, 1]


def test_the_contents_tell_a_changed_table(write, tmp_path):
    before = sources.load(write(*ROWS))
    Image.new("L", (3, 4), 99).save(tmp_path / "a.png")
    after = sources.load(write(*ROWS[1:], "a.png,dog,,"))
    assert changes(before.contents, after.contents) == "2 replaced (pets.csv, train/a.png)"
    assert before.fingerprint != after.fingerprint


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        (["z.png,cat,,", "y.png,cat,,"], r"line 6: there is no file .*/z.png and 1 more"),
        (["a.png,dog,,"], r"lines 2 and 6: a.png has two labels, 'cat' and 'dog'"),
        (["./a.png,cat,test,"], r"lines 2 and 6: ./a.png is in two splits, train and test"),
        (["a.png,cat,,"], r"lines 2 and 6: a.png is named twice"),
        (["e.png,cat,tset,"], r"line 6 has the split 'tset' \(did you mean 'test'\?\); known"),
        (["e.png,,test,"], r"line 6 has no label, which images of the split test need"),
        (["e.png,cow,test,"], r"line 6: a test image is of the class 'cow', which no training"),
        (["e.png,cat,,cow"], r"line 6: a trusted image is of the class 'cow'"),
        ([",cat,,"], r"line 6 names no file"),
        (["e.png,cat,"], r"line 6 has 3 cells, but its header has 4"),
    ],
)
def test_a_row_that_cannot_be_is_told_with_its_line(write, rows, told):
    with pytest.raises(UserError, match=told) as raised:
        sources.load(write(*ROWS, *rows))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("head", "told"),
    [
        ("file,lable", r"a column 'lable' \(did you mean 'label'\?\)"),
        ("file", "has no column 'label'"),
        ("file;label", "uses ';' as separator; save it with commas"),
        ("file\tlabel", "uses '\\\\t' as separator; save it with commas"),
        ("file;lable,label", "a column 'file;lable'"),
    ],
)
def test_columns_are_checked(write, head, told):
    with pytest.raises(UserError, match=told):
        sources.load(write(head=head))


@pytest.mark.parametrize(
    "labels", [("0.5", "1.25"), ("1.5", "2.0"), ("1", "nan"), ("1e3", "2."), ("0", "-1")]
)
def test_labels_that_are_fractions_are_told(write, labels):
    with pytest.raises(UserError, match=r"line [23]: the label '.*' is a number but not a non-neg"):
        sources.load(write(f"a.png,{labels[0]}", f"b.png,{labels[1]}", head="file,label"))


def test_what_is_no_table_is_told(tmp_path):
    with pytest.raises(UserError, match=r"must be a \.csv or a \.parquet file"):
        sources.load(f"table:{tmp_path}")
    with pytest.raises(UserError, match=r"cannot read the table .*none\.csv"):
        sources.load(f"table:{tmp_path}/none.csv")


def test_a_parquet_file_says_the_same(write, tmp_path):
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    expected = sources.load(write("a.png,7", "b.png,8", "c.png,", head="file,label"))
    frame = pandas.DataFrame({"file": ["a.png", "b.png", "c.png"], "label": ["7", "8", None]})
    frame.to_parquet(tmp_path / "pets.parquet")
    actual = sources.load(f"table:{tmp_path}/pets.parquet")
    assert (actual.classes, actual.train.ids) == (expected.classes, expected.train.ids)
    np.testing.assert_array_equal(actual.train.labels, expected.train.labels)
    frame.assign(label=[7, 8, None]).to_parquet(tmp_path / "pets.parquet")
    # pandas makes floats of whole numbers where a cell is empty.
    assert sources.load(f"table:{tmp_path}/pets.parquet").classes == expected.classes


def test_a_cell_may_be_quoted_behind_a_space(write):
    source = sources.load(write('a.png, "cat"', 'b.png, "a dog"', head="file,label"))
    assert source.classes == ["a dog", "cat"]


def test_a_checked_label_in_the_unlabelled_split_is_refused(write):
    with pytest.raises(UserError, match="line 6 has a trusted_label in the split unlabelled"):
        sources.load(write(*ROWS, "e.png,,unlabelled,cat"))


@pytest.mark.filterwarnings("ignore:.*trusted has no image of dog")
def test_a_noisy_label_that_is_no_class_is_named(write):
    with pytest.warns(UserWarning, match=r"line 6: .* 'catt' .*did you mean 'cat'.* no class"):
        sources.load(write(*ROWS, "e.png,catt,,cat"))


def test_a_class_called_nan_is_warned_of(write):
    with pytest.warns(UserWarning, match="a class is called 'NaN'.* leave it empty"):
        sources.load(write("a.png,cat,,", "b.png,NaN,,"))
