"""A language model run by a faster engine: exported once, checked on one's own texts, and then used in torch's place.

    <cache>/engines/<engine>-<float32 | int8>-<hash of the model>/
        model.xml, model.bin | model.onnx     as the engine takes it
        export.json                           versions, hashes of the files, how int8 was calibrated
        checks/<hash>.json                    cosines to torch in float32 over a sample of texts

int8 is calibrated on the texts of whoever comes first, and then kept: the same cache always gives the same vectors. The
fingerprint does not hang on those texts, because a new item would otherwise throw all cached vectors away. Vectors and
exports therefore belong together: they lie in one cache folder, and are to be deleted together.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
import time
import uuid
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from shoal.encode.compare import cosines, spread
from shoal.encode.exports import NAMES, PRECISIONS, Engine, export, has_bfloat16, open_export, quantise, version
from shoal.encode.lm import LanguageModel
from shoal.encode.source import Source, sha256_of
from shoal.errors import ConfigError, EncoderError
from shoal.progress import Progress

EXPORT_VERSION = 1
"""Goes up whenever the same model would be exported in another way."""
CHECKED = 64
"""Texts of one's own that an export is checked on."""
CALIBRATION = 300
"""Texts of one's own that int8 is calibrated on."""
LEAST_COSINE = 0.99
"""Mean cosine to torch in float32 under which an export is refused."""


class Exported:
    """A language model that runs in ONNX Runtime or OpenVINO, on the processor.

    Parameters
    ----------
    lm : LanguageModel
        In float32 on the CPU; gives tokens, pooling and the weights to export. Its weights are let go after the check.
    engine : str
        ``onnx`` or ``openvino``.
    precision : str
        ``float32``; ``bfloat16``, OpenVINO alone, which takes float32 where the processor has none; ``int8``,
        calibrated; ``auto``: bfloat16 where OpenVINO has it, else float32.
    force : bool
        Take the export although its mean cosine to torch is under `LEAST_COSINE`.
    cache : Path or None
        Where exports are kept, such as `shoal.encode.cache.default_folder()`; the folder of the vectors. None exports
        into a temporary folder, for as long as this object lives.
    sample : sequence of str, optional
        All texts that are to be encoded, of which some serve to calibrate and to check; None takes those of the first
        call of `encode`.
    progress : Progress, optional
        Told what the check found.

    Raises
    ------
    ConfigError
        The engine has no such precision, or the model is not in float32 on the CPU.
    MissingExtraError
        The engine is not installed.
    """

    def __init__(
        self,
        lm: LanguageModel,
        engine: str,
        precision: str = "auto",
        *,
        force: bool = False,
        cache: Path | None = None,
        sample: Sequence[str] | None = None,
        progress: Progress | None = None,
    ) -> None:
        if engine not in PRECISIONS:
            raise ConfigError(f"engine = {engine!r} is none. Give onnx or openvino.")
        if precision != "auto" and precision not in PRECISIONS[engine]:
            raise ConfigError(
                f"precision = {precision!r} is none of {engine}. Give auto, {', '.join(PRECISIONS[engine])}."
            )
        if lm.precision != "float32" or lm.device.type != "cpu":
            raise ConfigError(
                f"An export begins with float32 on the CPU; the model is in {lm.precision} on {lm.device}. "
                "Give LanguageModel(..., precision='float32', device='cpu')."
            )
        self.lm, self.force = lm, force
        self.engine: Engine = engine  # type: ignore[assignment]
        self.precision = _resolved(self.engine, precision)
        self.cosine: float | None = None
        self.asked = precision
        self._cache, self._sample, self._told = cache, sample, progress or Progress()
        self._run: Any = None

    @property
    def width(self) -> int:
        """The width of a vector."""
        return self.lm.width

    @property
    def max_tokens(self) -> int:
        """Longer texts are cut."""
        return self.lm.max_tokens

    @property
    def truncated(self) -> int:
        """How many texts of the last call were cut."""
        return self.lm.truncated

    @property
    def source(self) -> Source:
        """Where the language model comes from."""
        return self.lm.source

    @property
    def fingerprint(self) -> str:
        """A short hash of the model, what changes a vector, engine and precision; see above for int8."""
        makes = [self.lm.fingerprint, self.engine, self.precision, EXPORT_VERSION]
        return hashlib.sha256(json.dumps(makes).encode()).hexdigest()[:16]

    def describe(self) -> dict[str, Any]:
        """Return what a manifest should say of the encoder, for JSON; `cosine` is None before the check."""
        own = {"fingerprint": self.fingerprint, "engine": self.engine, "precision": self.precision}
        return self.lm.describe() | own | {"cosine": self.cosine}

    def encode(self, texts: Sequence[str], progress: Progress | None = None) -> np.ndarray:
        """Return (texts, width) float32, each row of length 1, as `LanguageModel.encode` does.

        The first call exports, where the cache holds no export yet, and checks it on a sample of texts.

        Raises
        ------
        EncoderError
            The model cannot be exported, or what was exported is too far from torch in float32.
        """
        if len(texts) and self._run is None:
            self._run = self._ready(texts)
        return self.lm.encode(texts, progress, hidden=self._run)

    def _ready(self, texts: Sequence[str]) -> Any:
        sample = self._sample if self._sample is not None else texts
        checked, calibration = samples(sample)
        place = self._place()
        folder = self._kept("float32", place, calibration)
        if self.precision == "int8":
            folder = self._kept("int8", place, calibration, source=folder)
        run = open_export(self.engine, self.precision, folder)
        self._check(run, checked, folder)
        vars(self.lm).pop("model", None)  # torch's own weights have served
        return run

    def _place(self) -> Path:
        """Return the folder of exports: in the cache, else a temporary one that goes with this object."""
        if self._cache is not None:
            place = Path(self._cache) / "engines"
            try:
                place.mkdir(parents=True, exist_ok=True)
                _sweep(place)
                return place
            except OSError as error:
                self._told.warn(f"the cache {place} cannot be written ({error.strerror}); the export is not kept")
        temporary = tempfile.mkdtemp(prefix="shoal-")
        weakref.finalize(self, shutil.rmtree, temporary, ignore_errors=True)
        return Path(temporary)

    def _kept(self, kind: str, place: Path, texts: Sequence[str], source: Path | None = None) -> Path:
        """Return the folder of the export of a kind, made if it is not there whole."""
        makes = hashlib.sha256(json.dumps([EXPORT_VERSION, self.lm.source.sha256, self._reach(kind)]).encode())
        folder = place / f"{self.engine}-{kind}-{makes.hexdigest()[:16]}"
        if is_whole(folder):
            return folder
        part = place / f".{uuid.uuid4().hex}.part"
        part.mkdir()
        try:
            self._told.log(f"encode  exporting {self.lm.name} for {NAMES[self.engine]} in {kind}, once")
            if source is None:
                export(self.lm, self.engine, part)
            else:
                quantise(self.lm, self.engine, source, part, texts)
            self._sign(part, kind, texts)
            _move(part, folder)
        finally:
            shutil.rmtree(part, ignore_errors=True)
        return folder

    def _reach(self, kind: str) -> int | None:
        """Return how long calibrated texts are at most: ranges of short texts are no good for long ones."""
        return self.lm.max_tokens if kind == "int8" else None

    def _sign(self, part: Path, kind: str, texts: Sequence[str]) -> None:
        said = {
            "version": EXPORT_VERSION,
            "engine": self.engine,
            "library": version(self.engine),
            "kind": kind,
            "model": self.lm.name,
            "model_sha256": self.lm.source.sha256,
            "calibrated_on": len(texts) if kind == "int8" else 0,
            "files": {path.name: sha256_of(path) for path in sorted(part.iterdir())},
        }
        (part / "export.json").write_text(json.dumps(said, indent=1), encoding="utf-8")

    def _check(self, run: Any, texts: list[str], folder: Path) -> None:
        """Hold the export against torch, or read what was found on the same texts before; refuse what is far."""
        makes = [self.precision, self.lm.fingerprint, version(self.engine), *texts]
        path = folder / "checks" / f"{hashlib.sha256(json.dumps(makes).encode()).hexdigest()[:32]}.json"
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            mean, least = float(found["mean"]), float(found["least"])
        except (OSError, ValueError, KeyError, TypeError):
            near = cosines(self.lm.encode(texts), self.lm.encode(texts, hidden=run))
            mean, least = float(near.mean()), float(near.min())
            _write(path, {"mean": mean, "least": least, "texts": len(texts)})
        self.cosine = mean
        what = f"{self.engine} {self.precision}"
        if self.asked == "bfloat16" != self.precision:
            what += " (no bfloat16 in this processor)"
        of = f"over {len(texts)} of your texts"
        self._told.log(f"encode  {what}: cosine {_short(mean)} to torch float32 {of}, the least {_short(least)}")
        if not mean >= LEAST_COSINE and not self.force:
            raise EncoderError(
                f"{NAMES[self.engine]} in {self.precision} has a mean cosine of {_short(mean)} to torch in float32 "
                f"{of}, under {_short(LEAST_COSINE)}. Set encode.precision to float32, encode.engine to torch, or "
                "encode.force to true."
            )


def samples(texts: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return texts to check on and texts to calibrate on, both spread evenly over all lengths.

    The same texts in any order give the same samples. They share no text where there are enough.
    """
    calibration = spread(texts, CALIBRATION)
    others = spread(set(texts) - set(calibration), CHECKED)
    return others if len(others) == CHECKED else spread(texts, CHECKED), calibration


def is_whole(folder: Path) -> bool:
    """Whether `folder` holds an export with every file as it was written."""
    try:
        files = json.loads((folder / "export.json").read_text(encoding="utf-8"))["files"]
        return bool(files) and all(sha256_of(folder / name) == sha256 for name, sha256 in files.items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def _resolved(engine: Engine, precision: str) -> str:
    if precision in ("auto", "bfloat16"):
        return "bfloat16" if has_bfloat16(engine) else "float32"
    version(engine)
    return precision


def _sweep(place: Path) -> None:
    """Remove what processes that were killed while exporting have left, a day ago or more."""
    for part in place.glob(".*.part"):
        with contextlib.suppress(OSError):
            if time.time() - part.stat().st_mtime > 86_400:
                shutil.rmtree(part, ignore_errors=True)


def _move(part: Path, folder: Path) -> None:
    """Give the export its name; where another process was faster, its export stands."""
    if folder.exists() and not is_whole(folder):
        shutil.rmtree(folder, ignore_errors=True)
    try:
        os.replace(part, folder)
    except OSError:
        if not is_whole(folder):
            raise


def _write(path: Path, said: dict[str, Any]) -> None:
    """Write JSON whole or not at all; a check that cannot be kept is made again."""
    part = path.with_name(f".{uuid.uuid4().hex}.part")
    try:
        path.parent.mkdir(exist_ok=True)
        part.write_text(json.dumps(said), encoding="utf-8")
        os.replace(part, path)
    except OSError:
        part.unlink(missing_ok=True)


def _short(cosine: float) -> str:
    """Write .9971; rounded down, so that nothing looks better than it is."""
    return f"{np.floor(cosine * 1e4) / 1e4:.4f}".replace("0.", ".", 1) if np.isfinite(cosine) else "nan"
