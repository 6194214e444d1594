import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from polars.testing import assert_frame_equal

from shoal.errors import StoreError
from shoal.store import artifacts, files
from shoal.store.artifacts import check_place, is_run_folder, load, save
from shoal.store.files import MANIFEST

TABLES = {
    "members": pl.DataFrame({"user_id": ["a", "b"], "segment": [0, -1], "strength": [0.5, None]}),
    "items": pl.DataFrame({"item_id": ["1"], "genres": [["Noir", None]]}),
}
TENSORS = {"tower": {"weight": np.arange(6, dtype=np.float32).reshape(2, 3), "on": np.array([True, False])}}
DOCUMENTS = {"names": {"0": "Late-night thrillers", "1": "家庭"}, "notes": ["a", 1, None]}
RUN = {"seed": 0, "data": "f00d"}


def write(folder, **other):
    return save(folder, **{"tables": TABLES, "tensors": TENSORS, "documents": DOCUMENTS, "manifest": RUN, **other})


@pytest.fixture
def folder(tmp_path):
    return write(tmp_path / "run")


def everything(place):
    """Every file below `place` with its content: to show that nothing was left or changed."""
    return {str(p.relative_to(place)): p.read_bytes() if p.is_file() else None for p in place.rglob("*")}


def test_what_was_saved_is_loaded(folder):
    found = load(folder)
    assert set(found.tables) == set(TABLES)
    for name, table in TABLES.items():
        assert_frame_equal(found.tables[name], table)
    assert found.tensors["tower"]["weight"].dtype == np.float32
    assert np.array_equal(found.tensors["tower"]["weight"], TENSORS["tower"]["weight"])
    assert found.tensors["tower"]["on"].tolist() == [True, False]
    assert found.documents == DOCUMENTS
    assert found.manifest == RUN
    assert found.shoal_version


def test_the_folder_holds_the_files_that_the_manifest_says_and_no_others(folder):
    head = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    names = {"members.parquet", "items.parquet", "tower.safetensors", "names.json", "notes.json"}
    assert set(head["files"]) == names
    assert {p.name for p in folder.iterdir()} == {*names, MANIFEST}
    assert [p.name for p in folder.parent.iterdir()] == ["run"]


def test_an_empty_run_can_be_kept(tmp_path):
    found = load(save(tmp_path / "run"))
    assert (found.tables, found.tensors, found.documents, found.manifest) == ({}, {}, {}, {})


def test_categories_come_back_as_strings(tmp_path):
    table = pl.DataFrame({"user_id": pl.Series(["b", "a"], dtype=pl.Categorical)})
    assert load(save(tmp_path / "run", tables={"t": table})).tables["t"]["user_id"].dtype == pl.String


arrays = st.sampled_from([np.bool_, *(np.dtype(c) for c in "bhilBHILefd"), np.dtype(">f4"), np.dtype(">i8")]).flatmap(
    lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
)


@given(array=arrays)
def test_arrays_come_back_with_their_numbers_type_and_shape(tmp_path_factory, array):
    folder = save(tmp_path_factory.mktemp("a") / "run", tensors={"g": {"x": array, "transposed": array.T}})
    back = load(folder).tensors["g"]
    for name, sent in (("x", array), ("transposed", array.T)):
        assert back[name].shape == sent.shape
        assert back[name].dtype == sent.dtype.newbyteorder("=")
        np.testing.assert_array_equal(back[name], sent)


@pytest.mark.parametrize(
    "array", [np.array(["text"]), np.array([object()]), np.array([1j]), np.array(["2015"], dtype="M8[D]")]
)
def test_what_is_no_number_is_refused_and_never_pickled(tmp_path, array):
    with pytest.raises(StoreError, match=r"g.x holds .*, which a run folder cannot keep"):
        save(tmp_path / "run", tensors={"g": {"x": array}})
    assert everything(tmp_path) == {}


@pytest.mark.parametrize("value", [{1, 2}, float("nan"), np.float32(1)])
def test_what_is_no_json_is_refused(tmp_path, value):
    with pytest.raises(StoreError, match="document d cannot be written as JSON"):
        save(tmp_path / "run", documents={"d": value})
    with pytest.raises(StoreError, match="manifest cannot be written as JSON"):
        save(tmp_path / "run", manifest={"d": value})
    assert everything(tmp_path) == {}


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden", "a b", "manifest"])
def test_a_name_that_is_no_file_name_is_refused(tmp_path, name):
    with pytest.raises(StoreError, match="cannot name a part of a run folder"):
        save(tmp_path / "run", documents={name: 1})
    assert everything(tmp_path) == {}


def test_a_run_folder_is_replaced_whole(folder):
    save(folder, manifest={"seed": 1})
    assert load(folder).manifest == {"seed": 1}
    assert [p.name for p in folder.iterdir()] == [MANIFEST]
    assert [p.name for p in folder.parent.iterdir()] == ["run"]


def test_an_empty_folder_may_become_a_run_folder(tmp_path):
    (tmp_path / "run").mkdir()
    assert is_run_folder(write(tmp_path / "run"))


def test_folders_on_the_way_are_made_and_the_path_may_be_text(tmp_path):
    assert load(str(save(str(tmp_path / "a" / "b" / "run"), manifest=RUN))).manifest == RUN


def test_a_run_behind_a_link_is_replaced_where_it_stands(folder, tmp_path):
    (tmp_path / "latest").symlink_to(folder)
    save(tmp_path / "latest", manifest={"seed": 2})
    assert load(folder).manifest == {"seed": 2}
    assert (tmp_path / "latest").is_symlink()


def test_somebody_elses_folder_is_never_touched(tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("years of work")
    (tmp_path / "thesis" / MANIFEST).write_text('{"name": "an app"}')
    before = everything(tmp_path)
    for _ in range(2):
        with pytest.raises(StoreError, match=r"thesis exists and is not a run folder. Give another path."):
            write(tmp_path / "thesis")
        (tmp_path / "thesis" / MANIFEST).unlink(missing_ok=True)
        before.pop("thesis/" + MANIFEST, None)
        assert everything(tmp_path) == before


def test_a_file_in_the_way_is_never_touched(tmp_path):
    (tmp_path / "run").write_text("a file")
    with pytest.raises(StoreError, match="exists and is not a run folder"):
        write(tmp_path / "run")
    assert (tmp_path / "run").read_text() == "a file"


def test_notes_kept_in_a_run_folder_are_not_deleted_but_its_report_may_go(folder):
    (folder / "report.html").write_text("made from the run")
    check_place(folder)
    (folder / "my notes.txt").write_text("mine")
    for refuse in (check_place, write):
        with pytest.raises(StoreError, match=r"my notes.txt in it is not the run's; saving would delete it"):
            refuse(folder)
    assert load(folder).manifest == RUN
    (folder / "my notes.txt").unlink()
    write(folder)
    assert not (folder / "report.html").exists()


@pytest.mark.parametrize("exists", [True, False])
@pytest.mark.parametrize(
    "raised", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt(), MemoryError()], ids=repr
)
@pytest.mark.parametrize("where", ["write_table", "write_tensors", "write_json", "to_disk"])
def test_what_goes_wrong_leaves_nothing_behind(tmp_path, monkeypatch, where, raised, exists):
    place = tmp_path / "runs" / "first"
    if exists:
        write(place)
    before, original = everything(tmp_path), getattr(files, where)

    def fail(*args):
        original(*args)
        raise raised

    monkeypatch.setattr(files, where, fail)
    expected = StoreError if isinstance(raised, OSError) else type(raised)
    with pytest.raises(expected) as error:
        write(place, manifest={"seed": 1})
    assert everything(tmp_path) == before
    if expected is StoreError:
        assert str(error.value) == (
            f"{place} cannot be written: No space left on device. Free some space or give another path."
        )


@pytest.mark.parametrize("raised", [OSError(errno.EIO, "Input/output error"), KeyboardInterrupt()], ids=repr)
def test_the_old_run_comes_back_if_the_new_one_cannot_take_its_place(folder, monkeypatch, raised):
    before, rename = everything(folder.parent), Path.rename

    def fail(self, target):
        if self.suffix == ".part":
            raise raised
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises((StoreError, KeyboardInterrupt)):
        write(folder, manifest={"seed": 1})
    assert everything(folder.parent) == before


@pytest.mark.skipif(sys.platform == "win32", reason="needs limits on file sizes")
def test_a_disk_that_takes_no_more_is_told_in_one_line(tmp_path):
    code = (
        "import resource, signal, sys, numpy as np, polars as pl\n"
        "from shoal.store.artifacts import save\n"
        "from shoal.errors import StoreError\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "numbers = np.random.default_rng(0).random(50_000)\n"
        "for part in ({'tensors': {'g': {'x': numbers}}}, {'tables': {'t': pl.DataFrame({'x': numbers})}}):\n"
        "    try:\n"
        "        save(sys.argv[1], **part)\n"
        "    except StoreError as error:\n"
        "        print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "run")], capture_output=True, text=True, check=True
    )
    lines = done.stdout.splitlines()
    assert len(lines) == 2
    assert all(line.startswith(f"{tmp_path / 'run'} cannot be written: ") for line in lines)
    assert everything(tmp_path) == {}


def test_a_folder_that_is_not_there_is_told(tmp_path):
    with pytest.raises(StoreError, match=r"There is no run folder .*nowhere"):
        load(tmp_path / "nowhere")


def test_a_folder_without_a_manifest_is_no_run_folder(tmp_path):
    with pytest.raises(StoreError, match=r"is not a run folder: it has no manifest.json"):
        load(tmp_path)


@pytest.mark.parametrize("content", ["[]", "{}", '{"kind": "an app"}'])
def test_another_programs_manifest_is_told(tmp_path, content):
    (tmp_path / MANIFEST).write_text(content)
    with pytest.raises(StoreError, match=r"is not a run folder: its manifest.json is another program"):
        load(tmp_path)


@pytest.mark.parametrize("name", ["members.parquet", "tower.safetensors", "names.json"])
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.unlink(), "is missing"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), "bytes instead of"),
        (lambda path: path.write_bytes(path.read_bytes() + b" "), "bytes instead of"),
        (lambda path: path.write_bytes(b"X" + path.read_bytes()[1:]), "has been changed"),
    ],
    ids=["missing", "cut short", "longer", "changed"],
)
def test_a_damaged_file_is_named(folder, name, damage, message):
    damage(folder / name)
    with pytest.raises(StoreError, match=rf"is damaged: {name} .*{message}"):
        load(folder)


def test_a_manifest_that_was_cut_short_is_told(folder):
    text = (folder / MANIFEST).read_text(encoding="utf-8")
    (folder / MANIFEST).write_text(text[: len(text) // 2], encoding="utf-8")
    with pytest.raises(StoreError, match=r"is damaged: manifest.json cannot be read"):
        load(folder)


def change_manifest(folder, **values):
    head = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    head.update(values)
    (folder / MANIFEST).write_text(json.dumps(head), encoding="utf-8")


def test_a_newer_format_is_refused_with_both_versions(folder):
    change_manifest(folder, format=artifacts.FORMAT + 1, shoal="9.1.0")
    with pytest.raises(StoreError, match=r"written by shoal 9.1.0 in format 2; this shoal reads up to 1"):
        load(folder)
    check_place(folder)  # it is a run folder all the same


@pytest.mark.parametrize("values", [{"files": None}, {"run": []}])
def test_a_manifest_that_lacks_a_part_is_told(folder, values):
    change_manifest(folder, **values)
    with pytest.raises(StoreError, match=r"is damaged: manifest.json lacks a part"):
        load(folder)


@pytest.mark.parametrize("name", ["../outside.json", "/etc/hostname", "code.py", "model.pkl"])
def test_a_manifest_cannot_point_outside_the_folder_or_at_code(folder, name):
    change_manifest(folder, files={name: {"bytes": 1, "sha256": ""}})
    with pytest.raises(StoreError, match="names a file that cannot be ours"):
        load(folder)


def test_files_beside_the_run_are_left_unread(folder):
    (folder / "report.html").write_text("<html>")
    assert load(folder).manifest == RUN


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_place_where_one_may_not_write_is_told(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(StoreError, match="cannot be written: Permission denied"):
        write(tmp_path / "run")


def test_a_part_is_added_or_replaced_and_all_else_stays(folder):
    (folder / "report.html").write_text("made from the run")
    (folder / "my notes").mkdir()
    (folder / "my notes" / "a.txt").write_text("mine")
    before = everything(folder)
    new = pl.DataFrame({"user_id": ["c"]})
    artifacts.amend(folder, documents={"rules": [1], "names": {}}, tables={"members": new})
    found = load(folder)
    assert found.documents == {**DOCUMENTS, "rules": [1], "names": {}}
    assert_frame_equal(found.tables["members"], new)
    assert found.manifest == RUN
    after = everything(folder)
    changed = {name for name in after if before.get(name) != after[name]}
    assert changed == {"rules.json", "names.json", "members.parquet", MANIFEST}
    assert set(before) <= set(after)
    assert [p.name for p in folder.parent.iterdir()] == ["run"]


def test_amending_never_writes_into_the_old_files(folder, tmp_path):
    os.link(folder / "names.json", tmp_path / "other link")
    artifacts.amend(folder, documents={"names": {"0": "new"}})
    assert json.loads((tmp_path / "other link").read_text(encoding="utf-8")) == DOCUMENTS["names"]
    assert load(folder).documents["names"] == {"0": "new"}


def test_where_files_cannot_be_linked_they_are_copied(folder, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", refuse)
    artifacts.amend(folder, documents={"rules": [1]})
    assert load(folder).documents == {**DOCUMENTS, "rules": [1]}


@pytest.mark.parametrize(
    "raised", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt(), MemoryError()], ids=repr
)
@pytest.mark.parametrize("where", ["write_json", "entry_of", "to_disk", "swap"])
def test_an_amendment_that_goes_wrong_leaves_the_folder_as_it_was(folder, monkeypatch, where, raised):
    before = everything(folder.parent)

    def fail(*args):
        raise raised

    monkeypatch.setattr(files, where, fail)
    with pytest.raises(StoreError if isinstance(raised, OSError) else type(raised)):
        artifacts.amend(folder, documents={"rules": [1]})
    assert everything(folder.parent) == before


def test_a_folder_that_changes_while_it_is_amended_is_left_alone(folder, monkeypatch):
    original = files.to_disk

    def meanwhile(path):
        change_manifest(folder, run={"seed": 7})
        original(path)

    monkeypatch.setattr(files, "to_disk", meanwhile)
    with pytest.raises(StoreError, match="changed by another program meanwhile"):
        artifacts.amend(folder, documents={"rules": [1]})
    assert load(folder).manifest == {"seed": 7}
    assert "rules" not in load(folder).documents


def test_only_a_run_folder_can_be_amended(tmp_path):
    with pytest.raises(StoreError, match="There is no run folder"):
        artifacts.amend(tmp_path / "nowhere", documents={"rules": [1]})
    assert everything(tmp_path) == {}


def test_some_parts_may_be_read_alone(folder):
    (folder / "members.parquet").write_bytes(b"damaged")
    found = load(folder, only=("names",))
    assert (found.documents, found.tables, found.manifest) == ({"names": DOCUMENTS["names"]}, {}, RUN)
