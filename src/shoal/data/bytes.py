"""Bytes of a text file: compression, encoding, quotes, and the line on which a row begins."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO, TextIO, cast

from shoal.errors import ReadError, did_you_mean

CHUNK = 1 << 22
LONGEST_FIELD = 1 << 26


@dataclass(frozen=True)
class Encoding:
    """How a file's bytes become characters, and whether there are quotation marks among them."""

    name: str
    quotes: bool
    notes: tuple[str, ...] = ()


def open_bytes(path: Path) -> BinaryIO:
    """Open a file, unpacking gzip whatever the file is called.

    Raises
    ------
    ReadError
        The file is not there, is a folder, or may not be read.
    """
    try:
        file = path.open("rb")
    except OSError as error:
        raise ReadError(_no_file(path, error)) from None
    if file.read(2) == b"\x1f\x8b":
        file.close()
        return cast(BinaryIO, gzip.open(path, "rb"))
    file.seek(0)
    return file


def sample(path: Path, size: int = 1 << 16) -> bytes:
    """Return the first bytes, unpacked; an empty file or an archive is refused."""
    start = b"".join(_chunks(path, size))
    if not start:
        raise ReadError(f"{path.name} is empty (0 bytes). Check the path, or the download that made it.")
    if start.startswith(b"PK\x03\x04"):
        raise ReadError(f"{path.name} is a zip archive. Unpack it and give the path of the file inside.")
    return start


def detect_encoding(path: Path, given: str | None) -> Encoding:
    """Return the encoding: the one given, else UTF-8 (with or without mark), UTF-16 by its mark, or latin-1.

    Reads the file once, because the first wrong byte may stand anywhere. A latin-1 guess is noted: every file can be
    read as latin-1, so only the reader can say whether it is right.

    Raises
    ------
    ReadError
        The encoding given is not known, or the file is not in it.
    """
    if given is not None:
        try:
            known = codecs.lookup(given).name
        except LookupError:
            usual = ("utf-8", "latin-1", "cp1252", "utf-16", "gb18030", "shift-jis")
            raise ReadError(f"encoding {given!r} is not known.{did_you_mean(given, usual)}") from None
        if known == "utf-8":
            known = "utf-8-sig"  # the same, and takes the mark off
        quotes, wrong = _decode(path, known)
        if wrong is not None:
            raise ReadError(
                f"{path.name}, line {wrong}: not {given}. Leave encoding out to have it found, or give another one "
                "(--encoding)."
            )
        return Encoding(known, quotes)
    if sample(path, 2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        return Encoding("utf-16", _decode(path, "utf-16")[0], (f"{path.name}: read as UTF-16",))
    quotes, wrong = _decode(path, "utf-8-sig")
    if wrong is None:
        return Encoding("utf-8-sig", quotes)
    note = f"{path.name}: not UTF-8 (line {wrong}), read as latin-1; give encoding= (--encoding) if names look wrong"
    return Encoding("latin-1", _decode(path, "latin-1")[0], (note,))


def open_text(path: Path, encoding: str) -> TextIO:
    """Open a file as text with its line ends untouched."""
    return io.TextIOWrapper(cast(IO[bytes], open_bytes(path)), encoding=encoding, newline="")


def open_recoded(path: Path, encoding: str, separator: str = ",", single: str = ",") -> BinaryIO:
    """Open a file as UTF-8 bytes without mark, its `separator` replaced by the character `single`."""
    if encoding == "utf-8-sig" and separator == single:
        return open_bytes(path)  # the parser skips the mark itself
    return cast(BinaryIO, _Recoded(open_text(path, encoding), separator, single))


def check_quotes(path: Path, encoding: str, separator: str) -> None:
    """Refuse a file in which a quote is opened and never closed: rows would be swallowed by it without a word.

    Raises
    ------
    ReadError
        Names the line.
    """
    with open_text(path, encoding) as lines, _long_fields():
        reader = csv.reader(lines, delimiter=separator, strict=True)
        try:
            deque(reader, maxlen=0)
        except csv.Error as error:
            raise ReadError(
                f"{path.name}, line {reader.line_num}: the quotation marks do not match ({error}); "
                "a quote that was opened in this line or before it is not closed. Mend the line: it is not clear where "
                "its row ends."
            ) from None


def rows_with_lines(lines: Iterable[str], separator: str, *, quoted: bool) -> Iterator[tuple[int, list[str]]]:
    """Yield each row that is not blank with the number (from 1) of the line on which it begins."""
    if not quoted:
        for number, line in enumerate(lines, 1):
            bare = line.rstrip("\r\n").lstrip("\ufeff" if number == 1 else "")
            if bare:
                yield number, bare.split(separator)
        return
    with _long_fields():
        reader = csv.reader(lines, delimiter=separator)
        before = 0
        for row in reader:
            if row:
                yield before + 1, row
            before = reader.line_num


def _chunks(path: Path, limit: int | None = None) -> Iterator[bytes]:
    try:
        with open_bytes(path) as file:
            left = limit
            while chunk := file.read(CHUNK if left is None else min(left, CHUNK)):
                yield chunk
                if left is not None:
                    left -= len(chunk)
    except (EOFError, gzip.BadGzipFile, OSError) as error:
        raise ReadError(f"{path.name} is cut short or damaged ({error}). Fetch it again.") from None


def _decode(path: Path, encoding: str) -> tuple[bool, int | None]:
    """Return whether there are quotation marks, and the line (from 1) of the first byte that does not decode."""
    decoder = codecs.getincrementaldecoder(encoding)()
    quotes, lines = False, 0
    chunk = b""
    try:
        for chunk in _chunks(path):
            decoder.decode(chunk)
            quotes = quotes or b'"' in chunk
            lines += chunk.count(b"\n")
        chunk = b""
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        # the decoder may have kept up to three bytes of the chunk before
        return quotes, lines + chunk[: max(error.start, 0)].count(b"\n") + 1
    return quotes, None


class _Recoded(io.RawIOBase):
    """Text as UTF-8 bytes, read piece by piece."""

    def __init__(self, text: TextIO, separator: str, single: str) -> None:
        self._text, self._separator, self._single = text, separator, single
        self._rest = b""

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        """Return `size` bytes, fewer at the end of the file."""
        while size < 0 or len(self._rest) < size:
            piece = self._text.read(CHUNK)
            if not piece:
                break
            while piece.endswith(self._separator[0]) and (more := self._text.read(1)):
                piece += more  # never cut a separator in two
            self._rest += piece.replace(self._separator, self._single).encode()
        size = len(self._rest) if size < 0 else size
        out, self._rest = self._rest[:size], self._rest[size:]
        return out

    def close(self) -> None:
        self._text.close()
        super().close()


class _long_fields:
    """Let the csv module take long fields for a while; its limit is one for the whole process."""

    def __enter__(self) -> None:
        self._before = csv.field_size_limit(LONGEST_FIELD)

    def __exit__(self, *_: object) -> None:
        csv.field_size_limit(self._before)


def _no_file(path: Path, error: OSError) -> str:
    if isinstance(error, IsADirectoryError) or path.is_dir():
        return f"{path} is a folder; give the path of a file."
    if not isinstance(error, FileNotFoundError):
        return f"{path}: {error.strerror}."
    beside = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
    where = "" if path.parent.is_dir() else f" The folder {path.parent} does not exist."
    return f"{path}: there is no such file.{where}{did_you_mean(path.name, beside)}"
