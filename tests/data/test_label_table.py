import pytest

from flax_vision.data.flags import TRAIN_FLAGS
from flax_vision.data.label_table import Row, TableFile, TableReader
from flax_vision.errors import UserError
from flax_vision.evaluation.data_options import OPTIONS


def read(tmp_path, content, flags=TRAIN_FLAGS, **columns):
    file = tmp_path / "labels.csv"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return [*TableReader(TableFile(str(file), **columns), tmp_path / "images", flags).rows()]


ROWS = [Row(2, "x/1.png", "cat", "all"), Row(3, "2.png", "dog", "all")]


@pytest.mark.parametrize(
    "header", ["path,label", "Filename,CLASS", "image path, Target", '"file",x']
)
def test_columns_are_found_by_name_in_any_case(header, tmp_path):
    header = header.replace(",x", ",category")
    assert read(tmp_path, f"{header}\nx/1.png,cat\n2.png,dog\n") == ROWS


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_delimiters_and_line_ends(delimiter, line_end, tmp_path):
    lines = ["label,path,note", "cat,x/1.png,", "dog,2.png,"]
    content = line_end.join(lines).replace(",", delimiter)
    assert read(tmp_path, content) == ROWS


def test_byte_order_mark_blank_lines_and_quotes(tmp_path):
    first, second = '"x/1, or ""2"".png", "two\nlines"', "./a/../3.png, caf\u0065\u0301"
    content = f"\ufeffpath,label\n\n{first}\n  ,  \n{second}\n"
    assert read(tmp_path, content) == [
        Row(3, 'x/1, or "2".png', "two\nlines", "all"),
        Row(6, "3.png", "caf\u00e9", "all"),
    ]


def test_absolute_path_in_the_folder(tmp_path):
    (row,) = read(tmp_path, f"path,label\n{tmp_path}/images/x/1.png,7\n")
    assert row == Row(2, "x/1.png", "7", "all")


@pytest.mark.parametrize("column", ["split", "Set", "SUBSET"])
def test_splits(column, tmp_path):
    names = {"Train": "train", "val": "validation", "validation": "validation", "TEST": "test"}
    lines = "".join(f"{i}.png,a,{name}\n" for i, name in enumerate(names))
    rows = read(tmp_path, f"path,label,{column}\n{lines}")
    assert [row.split for row in rows] == [*names.values()]


def test_given_columns(tmp_path):
    content = "id,path,label,Coarse Label\n1.png,x,cat,animal\n"
    rows = read(tmp_path, content, image_column="id", label_column="coarse label")
    assert rows == [Row(2, "1.png", "animal", "all")]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "labels.csv' is empty; give a CSV file whose first line names its columns"),
        ("\n\n", "is empty"),
        ("path,label\n", "labels.csv' has no rows below the names of its columns"),
        ("path,number\n1,2\n", "has no column for the label, only path, number; .*label_column=NA"),
        ("name,label\n1,2\n", "has no column for the path, only name, label; .*image_column=NAME"),
        (
            "path,label,class\n1,2,3\n",
            "several columns that could be the label: 'label', 'class'; give --config.data.labe",
        ),
        ("path,file,label\n1,2,3\n", "could be the path: 'path', 'file'; give .*image_column=NAME"),
        ("path,label,set,split\n1,2,3,4\n", "could be the split: 'set', 'split'; rename all but"),
        ("path,label\n1.png,a\n,b\n", "line 3 has no path; add it, or remove the line"),
        ("path,label\n1.png,\n", "line 2 has no label"),
        ("path,label\n1.png,a,b\n", "line 2 has 3 fields, and the first line 2; put"),
        (
            "path,label,split\n1.png,a,holdout\n",
            "line 2 has the unknown split 'holdout'; valid: tr",
        ),
        ("path,label,split\n1.png,a,\n", "line 2 has the unknown split ''; valid: train, tr"),
        (
            "path,label\n../1.png,a\n",
            r"line 2 has the path '../1.png', which is outside of .*images",
        ),
        ("path,label\nx/../../1.png,a\n", "which is outside"),
        ("path,label\n/etc/1.png,a\n", "line 2 has the path '/etc/1.png', which is outside"),
        ("path,label\n\n1.png,'a\n\"2.png,b\n", "line 4 is not valid CSV .unexpected end of data"),
        (b"path,label\n1.png,a\n2.png,\xe9\n", "line 3 is not UTF-8; save the table"),
        ("path,label\n1.png,a\n".encode("utf-16"), "line 1 is not UTF-8"),
    ],
)
def test_invalid_tables(content, message, tmp_path):
    with pytest.raises(UserError, match=f"^--config.data.labels '.*{message}"):
        read(tmp_path, content)


def test_unknown_column(tmp_path):
    with pytest.raises(
        UserError, match="unknown column of '.*labels.csv' 'lable'; did you mean 'lab"
    ):
        read(tmp_path, "path,label\n1,2\n", label_column="lable")


def test_flags_of_evaluate(tmp_path):
    with pytest.raises(UserError, match="^--labels '.*'label', 'class'; give --label-column NAME"):
        read(tmp_path, "path,label,class\n1,2,3\n", OPTIONS)
    with pytest.raises(UserError, match="first line, or give --image-column NAME"):
        read(tmp_path, "x,label\n1,2\n", OPTIONS)


def test_file_that_cannot_be_read(tmp_path):
    for path, message in (
        ("no.csv", "does not exist; give --config.data.labels=FILE"),
        ("", "a dir"),
    ):
        reader = TableReader(TableFile(str(tmp_path / path)), tmp_path, TRAIN_FLAGS)
        with pytest.raises(UserError, match=message):
            next(reader.rows())
