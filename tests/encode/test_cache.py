import errno
import hashlib
import os
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from shoal.encode import cache
from shoal.encode.cache import default_folder, encode_cached
from shoal.progress import Progress


class Counting:
    """An encoder of four numbers from the text's hash, that remembers what it was asked."""

    width = 4

    def __init__(self, fingerprint="f00d", fail_after=None):
        self.fingerprint, self.fail_after = fingerprint, fail_after
        self.asked = []

    def encode(self, texts):
        if self.fail_after is not None and len(self.asked) >= self.fail_after:
            raise KeyboardInterrupt
        self.asked += texts
        return np.stack([self.vector(t) for t in texts])

    @staticmethod
    def vector(text):
        return np.frombuffer(hashlib.sha256(b"v" + text.encode()).digest()[:4], np.uint8).astype(np.float32)


class Telling(Progress):
    def __init__(self):
        self.warned, self.logged = [], []

    def warn(self, line):
        self.warned.append(line)

    def log(self, line):
        self.logged.append(line)


TEXTS = [f"film {i}" for i in range(100)]


def encoded(encoder, texts, folder, **more):
    return encode_cached(encoder, texts, template_version="t1", folder=folder, **more)


def right(texts):
    return np.stack([Counting.vector(t) for t in texts])


def shards(folder):
    return sorted(folder.rglob("*.safetensors"))


@pytest.mark.parametrize("kept", [True, False])
def test_a_text_is_encoded_once_however_often_it_occurs(tmp_path, kept):
    encoder = Counting()
    texts = ["a", "b", "a", "", "a", ""]
    assert np.array_equal(encoded(encoder, texts, tmp_path if kept else None), right(texts))
    assert sorted(encoder.asked) == ["", "a", "b"]


def test_a_second_call_encodes_nothing(tmp_path):
    encoded(Counting(), TEXTS, tmp_path)
    again = Counting()
    assert np.array_equal(encoded(again, TEXTS[::-1], tmp_path), right(TEXTS[::-1]))
    assert again.asked == []


def test_only_new_texts_are_encoded(tmp_path):
    encoded(Counting(), TEXTS[:60], tmp_path)
    again = Counting()
    assert np.array_equal(encoded(again, TEXTS, tmp_path), right(TEXTS))
    assert sorted(again.asked) == sorted(TEXTS[60:])


def test_another_encoder_or_template_shares_nothing(tmp_path):
    encoded(Counting(), TEXTS, tmp_path)
    other = Counting("beef")
    encoded(other, TEXTS, tmp_path)
    assert len(other.asked) == 100
    same = Counting()
    encode_cached(same, TEXTS, template_version="t2", folder=tmp_path)
    assert len(same.asked) == 100


def test_without_a_folder_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SHOAL_CACHE", str(tmp_path / "cache"))
    encoded(Counting(), TEXTS, None)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kept", [True, False])
def test_no_texts_give_no_rows_of_the_right_width(tmp_path, kept):
    vectors = encoded(Counting(), [], tmp_path if kept else None)
    assert vectors.shape == (0, 4)
    assert vectors.dtype == np.float32


def test_interrupted_encoding_goes_on_where_it_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "CALL_CHARACTERS", 100)
    first = Counting(fail_after=32)
    with pytest.raises(KeyboardInterrupt):
        encoded(first, TEXTS, tmp_path)
    assert 32 <= len(first.asked) < 100
    again = Counting()
    assert np.array_equal(encoded(again, TEXTS, tmp_path), right(TEXTS))
    assert sorted(first.asked + again.asked) == sorted(TEXTS)


def test_texts_are_encoded_in_the_same_batches_after_an_interruption_and_however_long_a_batch_takes(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(cache, "CALL_CHARACTERS", 100)

    class InBatches(Counting):
        def __init__(self, seconds=0.0, **more):
            super().__init__(**more)
            self.seconds, self.batches = seconds, []

        def encode(self, texts):
            vectors = super().encode(texts)
            time.sleep(self.seconds)
            self.batches.append(texts)
            return vectors

    whole, slow = InBatches(), InBatches(seconds=0.02)
    encoded(whole, TEXTS, None)
    encoded(slow, TEXTS, None)
    assert len(whole.batches) > 5
    assert slow.batches == whole.batches
    first, again = InBatches(fail_after=32), InBatches()
    with pytest.raises(KeyboardInterrupt):
        encoded(first, TEXTS, tmp_path)
    encoded(again, TEXTS, tmp_path)
    assert first.batches + again.batches == whole.batches


def test_shards_are_written_along_the_way(tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "SHARD_TEXTS", 30)
    seen = []

    class Looking(Counting):
        def encode(self, texts):
            seen.append(len(shards(tmp_path)))
            return super().encode(texts)

    encoded(Looking(), TEXTS, tmp_path)
    assert seen[-1] >= 2


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(path.read_bytes()[:-7]),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"no shard at all, but long enough for a header"),
        lambda path: path.write_bytes(path.read_bytes()[:-1] + bytes([path.read_bytes()[-1] ^ 255])),
        lambda path: save_file({"keys": np.zeros((1, 32), np.uint8), "vectors": np.zeros((1, 9), np.float32)}, path),
        lambda path: save_file({"other": np.zeros(3)}, path),
    ],
    ids=["cut short", "empty", "something else", "one bit flipped", "another width", "other tensors"],
)
def test_a_damaged_shard_is_told_once_and_its_texts_are_encoded_again(tmp_path, damage):
    encoded(Counting(), TEXTS, tmp_path)
    (path,) = shards(tmp_path)
    damage(path)
    told, again = Telling(), Counting()
    assert np.array_equal(encoded(again, TEXTS, tmp_path, progress=told), right(TEXTS))
    assert len(again.asked) == 100
    assert told.warned == [f"{path} is damaged; its texts are encoded again"]
    assert np.array_equal(encoded(Counting(), TEXTS, tmp_path, progress=told), right(TEXTS))
    assert len(told.warned) == 1


def test_a_full_disk_is_told_once_and_encoding_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "SHARD_TEXTS", 10)

    def full(self, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    told = Telling()
    assert np.array_equal(encoded(Counting(), TEXTS, tmp_path, progress=told), right(TEXTS))
    (line,) = told.warned
    assert "cannot be written (No space left on device); encoding goes on without it" in line
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []


def test_a_cache_folder_that_is_a_file_does_not_stop_encoding(tmp_path):
    (tmp_path / "file").write_text("mine")
    told = Telling()
    assert np.array_equal(encoded(Counting(), TEXTS, tmp_path / "file", progress=told), right(TEXTS))
    assert len(told.warned) == 1
    assert (tmp_path / "file").read_text() == "mine"


def test_many_small_shards_become_one_that_holds_them_all(tmp_path):
    for i in range(0, 100, 4):
        encoded(Counting(), TEXTS[i : i + 4], tmp_path)
    assert len(shards(tmp_path)) <= cache.MANY_SHARDS
    again = Counting()
    assert np.array_equal(encoded(again, TEXTS, tmp_path), right(TEXTS))
    assert again.asked == []


def test_large_shards_are_left_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "SMALL_TEXTS", 3)
    for i in range(0, 100, 4):
        encoded(Counting(), TEXTS[i : i + 4], tmp_path)
    assert len(shards(tmp_path)) == 25


def test_what_a_killed_process_left_is_swept_and_what_one_is_writing_is_not(tmp_path):
    encoded(Counting(), TEXTS[:1], tmp_path)
    folder = shards(tmp_path)[0].parent
    old, new = folder / ".old.part", folder / ".new.part"
    old.write_bytes(b"half")
    new.write_bytes(b"half")
    os.utime(old, (time.time() - 7200,) * 2)
    encoded(Counting(), TEXTS, tmp_path)
    assert not old.exists()
    assert new.exists()


def test_several_at_once_do_no_harm(tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "SHARD_TEXTS", 5)
    monkeypatch.setattr(cache, "MANY_SHARDS", 3)
    wrong, told = [], Telling()

    def work(seed):
        order = np.random.default_rng(seed).permutation(100)
        for part in np.array_split(order, 10):
            texts = [TEXTS[i] for i in part]
            if not np.array_equal(encoded(Counting(), texts, tmp_path, progress=told), right(texts)):
                wrong.append(texts)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert told.warned == []
    again = Counting()
    assert np.array_equal(encoded(again, TEXTS, tmp_path), right(TEXTS))
    assert again.asked == []


def test_cut_texts_are_counted_over_all_calls(tmp_path):
    class Cutting(Counting):
        max_tokens = 8
        truncated = 0

        def encode(self, texts):
            self.truncated = sum(len(t) > 6 for t in texts)
            return super().encode(texts)

    told = Telling()
    encoded(Cutting(), TEXTS, tmp_path, progress=told)
    assert told.logged == ["encode  90 of 100 texts are longer than 8 tokens and were cut"]


def test_a_shard_holds_hashes_and_vectors_and_no_text(tmp_path):
    encoded(Counting(), TEXTS, tmp_path)
    tensors = load_file(shards(tmp_path)[0])
    assert {k: (v.shape, v.dtype.name) for k, v in tensors.items()} == {
        "keys": ((100, 32), "uint8"),
        "vectors": ((100, 4), "float32"),
    }


@given(st.lists(st.text(max_size=3), max_size=30))
def test_every_text_gets_its_own_vector(texts):
    texts = [t for t in texts if t.isprintable()]
    assert np.array_equal(encoded(Counting(), texts, None), right(texts) if texts else np.zeros((0, 4), np.float32))


def test_the_default_folder_follows_the_environment(monkeypatch):
    monkeypatch.setenv("SHOAL_CACHE", "~/mine")
    assert default_folder() == Path("~/mine").expanduser()
    monkeypatch.delenv("SHOAL_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/var/c")
    assert default_folder() == Path("/var/c/shoal")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert default_folder() == Path.home() / ".cache" / "shoal"
