"""From the settings to an encoder: a language model in torch, one run by a faster engine, or static vectors."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from shoal.config import Encode
from shoal.encode.engines import Exported
from shoal.encode.language import settled
from shoal.encode.lm import LanguageModel
from shoal.encode.multilingual import NAME as MULTILINGUAL
from shoal.encode.source import MINILM, Source, find
from shoal.encode.static import StaticEncoder, is_static
from shoal.errors import ConfigError
from shoal.progress import Progress


def open_encoder(
    settings: Encode,
    *,
    device: str = "auto",
    cache: Path | None = None,
    texts: Sequence[str] | None = None,
    progress: Progress | None = None,
) -> LanguageModel | Exported | StaticEncoder:
    """Return the encoder that the settings ask for; no weights are loaded and nothing is exported yet.

    Parameters
    ----------
    settings : Encode
    device : str
        Where torch runs; see `LanguageModel`. Other engines run on the processor.
    cache : Path or None
        Where exports are kept; the folder that the vectors are kept in. None keeps none.
    texts : sequence of str, optional
        All texts that are to be encoded: an export is calibrated and checked on some of them, and the encoder ``auto``
        is what they are mainly written in, minilm without them.
    progress : Progress, optional
        Told of exports and checks.

    Raises
    ------
    EncoderError
        There is no such model, or it cannot be trusted.
    ConfigError
        Settings do not go with each other, with the device or with this kind of encoder.
    MissingExtraError
        The engine is not installed.
    """
    settings = settled(settings, texts or [], progress)
    if settings.encoder not in (MINILM, MULTILINGUAL):  # these are none, and finding them hashes their weights
        source = find(settings.encoder)
        if is_static(source):
            return _static(source, settings)
    how: dict[str, Any] = {"max_tokens": settings.max_tokens, "pooling": settings.pooling}
    if settings.engine == "torch":
        return LanguageModel(settings.encoder, precision=settings.precision, device=device, **how)
    if device not in ("auto", "cpu"):
        raise ConfigError(
            f"encode.engine = {settings.engine!r} runs on the processor, not on device {device!r}. "
            "Take the device cpu, or encode.engine = 'torch'."
        )
    lm = LanguageModel(settings.encoder, precision="float32", device="cpu", **how)
    return Exported(
        lm,
        settings.engine,
        settings.precision,
        force=settings.force,
        cache=cache,
        sample=texts,
        progress=progress,
    )


def _static(source: Source, settings: Encode) -> StaticEncoder:
    for name in ("pooling", "engine", "precision"):
        if getattr(settings, name) != Encode.model_fields[name].default:
            raise ConfigError(
                f"encode.{name} = {getattr(settings, name)!r}: {source.name} holds static vectors, which have no "
                f"choice of {name}. Leave encode.{name} out."
            )
    return StaticEncoder(source, max_tokens=settings.max_tokens)
