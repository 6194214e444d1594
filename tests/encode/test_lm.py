import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    BertConfig,
    BertModel,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaModel,
    PreTrainedTokenizerFast,
    T5Config,
    T5Model,
)

from shoal.encode.cache import encode_cached
from shoal.encode.lm import LanguageModel, batches, pool
from shoal.errors import ConfigError, EncoderError
from shoal.protocols import Encoder

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[EOS]", *"abcdefghij"]
TEXTS = ["a b c", "d", "", "e f g h i j a b c d e", "a b c", "zebra b"]


def write_tokenizer(folder, kind):
    """A tokenizer of one token a word; BERT-like with [CLS] and [SEP], or GPT-like with an end and no padding."""
    tokenizer = Tokenizer(models.WordLevel({w: i for i, w in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    special = {"unk_token": "[UNK]", "eos_token": "[EOS]"}
    if kind == "encoder":
        tokenizer.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
        )
        special = {"unk_token": "[UNK]", "pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=64, **special).save_pretrained(folder)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Tiny language models with random weights, made here: nothing is fetched."""
    small = {"vocab_size": len(WORDS), "pad_token_id": 0}
    torch.manual_seed(0)
    made = {
        "bert": BertModel(
            BertConfig(
                hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
                max_position_embeddings=32, **small,
            )
        ),
        "gpt2": GPT2LMHeadModel(
            GPT2Config(
                n_embd=16, n_layer=2, n_head=2, n_positions=32, vocab_size=len(WORDS), bos_token_id=4, eos_token_id=4,
            )
        ),
        "llama": LlamaModel(
            LlamaConfig(
                hidden_size=16, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1,
                intermediate_size=32, bos_token_id=4, eos_token_id=4, **small,
            )
        ),
        "t5": T5Model(T5Config(d_model=16, d_kv=8, d_ff=32, num_layers=1, num_heads=2, **small)),
    }  # fmt: skip
    where = {}
    for name, model in made.items():
        where[name] = tmp_path_factory.mktemp(name)
        model.save_pretrained(where[name])
        write_tokenizer(where[name], "encoder" if name in ("bert", "t5") else "decoder")
    return where


@pytest.fixture
def make(folders):
    return lambda name, **how: LanguageModel(str(folders[name]), precision="float32", device="cpu", **how)


def hidden_of(language_model, ids):
    """Hidden states of one text alone, without any padding: the truth that batches must keep to."""
    with torch.inference_mode():
        return language_model.model(input_ids=torch.tensor([ids])).last_hidden_state[0].numpy()


def unit(vector):
    return vector / np.linalg.norm(vector)


BERT_IDS = [
    [2, 5, 6, 7, 3],
    [2, 8, 3],
    [2, 3],
    [2, 9, 10, 11, 12, 13, 14, 5, 6, 7, 8, 9, 3],
    [2, 5, 6, 7, 3],
    [2, 1, 6, 3],
]
GPT_IDS = [one[1:-1] or [4] for one in BERT_IDS]


@pytest.mark.parametrize(
    ("name", "pooling", "ids", "by_hand"),
    [
        ("bert", "auto", BERT_IDS, lambda hidden: hidden.mean(0)),
        ("bert", "mean", BERT_IDS, lambda hidden: hidden.mean(0)),
        ("bert", "cls", BERT_IDS, lambda hidden: hidden[0]),
        ("bert", "last", BERT_IDS, lambda hidden: hidden[-1]),
        ("gpt2", "auto", GPT_IDS, lambda hidden: hidden[-1]),
        ("gpt2", "mean", GPT_IDS, lambda hidden: hidden.mean(0)),
        ("llama", "auto", GPT_IDS, lambda hidden: hidden[-1]),
        ("t5", "auto", BERT_IDS, lambda hidden: hidden.mean(0)),
    ],
)
def test_vectors_are_the_pooled_hidden_states_of_each_text_alone(make, name, pooling, ids, by_hand):
    language_model = make(name, pooling=pooling)
    vectors = language_model.encode(TEXTS)
    expected = np.stack([unit(by_hand(hidden_of(language_model, one))) for one in ids])
    assert vectors.dtype == np.float32
    assert vectors.shape == (6, 16) == (6, language_model.width)
    np.testing.assert_allclose(vectors, expected, atol=1e-5)


@pytest.mark.parametrize("name", ["bert", "gpt2", "llama", "t5"])
@pytest.mark.parametrize("batch_tokens", [1, 7, 40])
def test_who_shares_a_batch_does_not_change_a_vector(make, name, batch_tokens):
    together = make(name).encode(TEXTS)
    np.testing.assert_allclose(make(name, batch_tokens=batch_tokens).encode(TEXTS), together, atol=1e-5)
    np.testing.assert_allclose(make(name).encode(TEXTS[::-1])[::-1], together, atol=1e-5)


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize(
    ("how", "expected"), [("mean", [[2.0], [5.0]]), ("cls", [[1.0], [5.0]]), ("last", [[3.0], [5.0]])]
)
def test_pooling_leaves_padding_out_on_either_side(side, how, expected):
    hidden, mask = torch.tensor([[[1.0], [2.0], [3.0]], [[5.0], [9.0], [9.0]]]), torch.tensor([[1, 1, 1], [1, 0, 0]])
    if side == "left":
        hidden[1], mask[1] = hidden[1].flip(0), mask[1].flip(0)
    assert pool(hidden, mask, how).tolist() == expected


def test_hidden_states_may_come_from_elsewhere(make):
    language_model = make("bert")
    same = language_model.encode(TEXTS, hidden=lambda ids, mask: torch.ones(*ids.shape, 16))
    np.testing.assert_allclose(same, 0.25, atol=1e-6)
    assert "model" not in vars(language_model)


def test_no_texts_give_no_rows_and_load_no_weights(make):
    language_model = make("bert")
    assert language_model.encode([]).shape == (0, 16)
    assert language_model.count_tokens([]).shape == (0,)
    assert "model" not in vars(language_model)


def test_long_texts_are_cut_and_counted_for_each_call_anew(make):
    language_model = make("bert", max_tokens=6)
    cut = language_model.encode(TEXTS)
    assert language_model.truncated == 1
    np.testing.assert_allclose(cut[3], language_model.encode(["e f g h"])[0], atol=1e-5)
    assert language_model.truncated == 0


def test_the_models_own_limit_holds_where_it_is_lower(make):
    language_model = make("gpt2", max_tokens=512)
    assert np.isfinite(language_model.encode(["a b c d e " * 20])).all()
    assert language_model.truncated == 1


def test_tokens_are_counted_with_special_ones_and_before_the_cut(make):
    assert make("bert", max_tokens=4).count_tokens(TEXTS).tolist() == [len(one) for one in BERT_IDS]


def test_the_folders_word_on_pooling_is_followed(make, folders):
    path = folders["bert"] / "1_Pooling"
    path.mkdir()
    try:
        for said, pooling in [
            ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, "cls"),
            ({"pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True}, "mean"),
            ({"pooling_mode_lasttoken": True}, "last"),
            ({"pooling_mode": "cls", "embedding_dimension": 16}, "cls"),
        ]:
            (path / "config.json").write_text(json.dumps(said))
            assert make("bert").pooling == pooling
            assert make("bert", pooling="last").pooling == "last"
        (path / "config.json").write_text(json.dumps({"pooling_mode": ["max", "mean"]}))
        with pytest.raises(EncoderError, match=r"pooling by max and mean, which is not built. Set encode.pooling"):
            make("bert").encode(["a"])
    finally:
        (path / "config.json").unlink()
        path.rmdir()


def test_the_fingerprint_follows_what_changes_a_vector_and_nothing_else(make, folders):
    same = {make("bert", **how).fingerprint for how in ({}, {"batch_tokens": 9}, {"pooling": "mean"})}
    assert len(same) == 1
    assert make("bert").encode(["a"]).shape == (1, 16)
    others = [make("bert", max_tokens=9), make("bert", pooling="cls"), make("gpt2")]
    others.append(LanguageModel(str(folders["bert"]), precision="bfloat16", device="cpu"))
    assert len({*same, *(o.fingerprint for o in others)}) == 5


def test_other_weights_have_another_fingerprint(make, folders, tmp_path):
    BertModel.from_pretrained(folders["bert"]).save_pretrained(tmp_path)
    write_tokenizer(tmp_path, "encoder")
    assert LanguageModel(str(tmp_path), precision="float32", device="cpu").fingerprint == make("bert").fingerprint
    model = BertModel.from_pretrained(folders["bert"])
    with torch.no_grad():
        model.embeddings.word_embeddings.weight[5, 0] += 1
    model.save_pretrained(tmp_path)
    assert LanguageModel(str(tmp_path), precision="float32", device="cpu").fingerprint != make("bert").fingerprint


def test_bfloat16_gives_nearly_the_same_vectors(make, folders):
    low = LanguageModel(str(folders["bert"]), precision="bfloat16", device="cpu")
    vectors = low.encode(TEXTS)
    assert vectors.dtype == np.float32
    assert (vectors * make("bert").encode(TEXTS)).sum(1).min() > 0.999


def test_a_cache_that_knows_all_texts_loads_no_weights(make, tmp_path):
    first, again = make("bert"), make("bert")
    vectors = encode_cached(first, TEXTS, template_version="t", folder=tmp_path)
    np.testing.assert_allclose(vectors, make("bert").encode(TEXTS), atol=1e-5)
    assert np.array_equal(encode_cached(again, TEXTS, template_version="t", folder=tmp_path), vectors)
    assert "model" not in vars(again)
    assert "tokenizer" not in vars(again)


def test_it_is_an_encoder_and_describes_itself_for_json(make):
    language_model = make("bert")
    assert isinstance(language_model, Encoder)
    told = json.loads(json.dumps(language_model.describe()))
    assert told["fingerprint"] == language_model.fingerprint
    assert (told["width"], told["pooling"], told["precision"], told["device"]) == (16, "mean", "float32", "cpu")


def test_transformers_says_nothing_of_its_own(make, capfd):
    make("gpt2").encode(TEXTS)  # its head is not loaded, which transformers would report
    assert capfd.readouterr() == ("", "")


def test_vectors_that_are_not_numbers_are_refused(make):
    language_model = make("bert")
    with torch.no_grad():
        language_model.model.embeddings.word_embeddings.weight[8] = float("nan")
    with pytest.raises(EncoderError, match="gave 2 of 6 texts vectors that are not numbers"):
        language_model.encode(TEXTS)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"max_tokens": 0}, "max_tokens = 0"),
        ({"batch_tokens": 0}, "batch_tokens = 0"),
        ({"pooling": "max"}, "pooling = 'max' is none"),
        ({"precision": "int8"}, "precision = 'int8' is none"),
    ],
)
def test_settings_out_of_range_are_refused_at_birth(how, message):
    with pytest.raises(ConfigError, match=message):
        LanguageModel("minilm", **how)


@given(st.lists(st.integers(1, 50), max_size=60), st.integers(1, 200))
def test_batches_hold_every_row_once_within_the_budget(lengths, budget):
    lengths = np.array(lengths, dtype=np.int64)
    parts = list(batches(lengths, budget))
    assert sorted(np.concatenate(parts).tolist() if parts else []) == list(range(len(lengths)))
    for rows in parts:
        assert len(rows) == 1 or len(rows) * lengths[rows].max() <= budget


@pytest.mark.slow
def test_minilm_agrees_with_sentence_transformers():
    from sentence_transformers import SentenceTransformer

    texts = [
        "", "Toy Story (1995). Adventure, Animation, Children, Comedy, Fantasy", "Heat (1995)", "heist", "HEIST",
        "a", "?", "Amélie", "霸王别姬", "two\nlines", "  spaces  ", "1995", "noir, neo-noir; crime", "Who's there?",
        "An account of a journey. " * 10, "word " * 250, "x" * 300, "🎬 films", "[MASK] [SEP]", "The end.",
    ]  # fmt: skip
    ours = LanguageModel("minilm", max_tokens=256, precision="float32", device="cpu")
    theirs = SentenceTransformer(str(ours.source.folder), device="cpu").encode(texts, show_progress_bar=False)
    vectors = ours.encode(texts)
    assert len(texts) == 20
    assert (vectors * theirs).sum(1).min() > 0.99999
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_importing_the_encoder_loads_no_heavy_library():
    code = "import sys, shoal.encode.lm, shoal.encode.cache; print({'torch', 'transformers'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
