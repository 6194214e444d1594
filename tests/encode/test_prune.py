import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from transformers import AutoModel

from shoal.encode.compare import cosines
from shoal.encode.heads import HEADS_CUT, cut_heads
from shoal.encode.layers import layers
from shoal.encode.lm import LanguageModel
from shoal.encode.prune import choose_heads, choose_layers, head_effects, layer_effects, prune
from shoal.errors import ConfigError, EncoderError


@pytest.fixture
def open_model(tiny):
    return lambda name="bert", **how: LanguageModel(str(tiny[name]), precision="float32", device="cpu", **how)


def idle(lm, layer):
    """Make a BERT layer do nothing but its norms, by hand."""
    block = lm.model.encoder.layer[layer]
    with torch.no_grad():
        for part in (block.attention.output.dense, block.output.dense):
            part.weight.zero_()
            part.bias.zero_()
    return lm


def test_a_layer_that_does_nothing_is_found_and_goes_first(open_model, sentences):
    lm = idle(open_model(), 2)
    effects = layer_effects(lm, sentences[:40])
    assert effects.shape == (4,)
    assert effects.argmin() == 2
    assert abs(effects[2]) < 1e-6
    assert choose_layers(lm, 3, sentences[:40]) == [0, 1, 3]


def test_measuring_leaves_the_model_as_it_was(open_model, sentences):
    lm = open_model()
    before = lm.encode(sentences[:20])
    layer_effects(lm, sentences[:20])
    head_effects(lm, sentences[:20])
    choose_layers(lm, 1, sentences[:20])
    assert np.array_equal(lm.encode(sentences[:20]), before)
    assert lm.model.config.num_hidden_layers == len(layers(lm.model)[1]) == 4


@pytest.mark.parametrize(("keep", "expected"), [(1, [3]), (2, [0, 3]), (3, [0, 2, 3]), (4, [0, 1, 2, 3])])
def test_without_texts_layers_are_evenly_spaced(open_model, keep, expected):
    assert choose_layers(open_model(), keep) == expected


@pytest.mark.parametrize("name", ["bert", "gpt2", "llama"])
def test_a_pruned_folder_opens_and_gives_what_the_kept_layers_give(open_model, sentences, tmp_path, name):
    lm = open_model(name)
    small = prune(lm, tmp_path / "small", layers=[0, 2, 3])
    whole = open_model(name)
    above, blocks = layers(whole.model)
    del blocks[1]
    np.testing.assert_allclose(small.encode(sentences[:30]), whole.encode(sentences[:30]), atol=1e-5)
    assert len(layers(small.model)[1]) == 3
    assert small.pooling == lm.pooling
    assert small.fingerprint != lm.fingerprint
    assert len(layers(lm.model)[1]) == 4
    assert above


def test_pooling_is_kept_with_the_folder(open_model, tmp_path):
    prune(open_model(pooling="cls"), tmp_path / "small", layers=[0])
    assert LanguageModel(str(tmp_path / "small")).pooling == "cls"


def test_cut_heads_give_the_same_vectors_as_heads_that_see_nothing(open_model, sentences, tmp_path):
    cut = {0: [1], 2: [0, 3]}
    small = prune(open_model(), tmp_path / "small", heads=cut)
    own = [block.attention.self.query.out_features for block in small.model.encoder.layer]
    assert own == [24, 32, 16, 32]
    stock = AutoModel.from_pretrained(tmp_path / "small")
    assert stock.encoder.layer[0].attention.self.query.out_features == 32
    blind = open_model()
    blind.__dict__["model"] = stock.eval()
    np.testing.assert_allclose(small.encode(sentences[:30]), blind.encode(sentences[:30]), atol=1e-5)
    assert cosines(small.encode(sentences[:30]), open_model().encode(sentences[:30])).min() < 0.9999


def test_heads_and_layers_go_together_and_heads_follow_their_layer(open_model, sentences, tmp_path):
    both = prune(open_model(), tmp_path / "both", layers=[0, 2, 3], heads={1: [0], 2: [0, 3]})
    assert json.loads((tmp_path / "both" / "config.json").read_text())[HEADS_CUT] == {"1": [0, 3]}
    step = prune(open_model(), tmp_path / "step", layers=[0, 2, 3])
    after = prune(step, tmp_path / "after", heads={1: [0, 3]})
    np.testing.assert_allclose(both.encode(sentences[:20]), after.encode(sentences[:20]), atol=1e-5)


def test_a_head_that_does_nothing_is_found_and_cut_first(open_model, sentences):
    lm = open_model()
    with torch.no_grad():
        lm.model.encoder.layer[1].attention.output.dense.weight[:, 16:24] = 0
    effects = head_effects(lm, sentences[:30])
    assert effects.shape == (4, 4)
    assert np.unravel_index(effects.argmin(), effects.shape) == (1, 2)
    assert choose_heads(effects, 1) == {1: [2]}


@given(arrays(float, (3, 4), elements=st.floats(0, 1)), st.integers(0, 9))
def test_chosen_heads_are_as_many_as_asked_and_each_layer_keeps_one(effects, cut):
    chosen = choose_heads(effects, cut)
    assert sum(len(heads) for heads in chosen.values()) == cut
    assert all(len(heads) <= 3 and len(set(heads)) == len(heads) for heads in chosen.values())


def test_nothing_pruned_is_the_same_model(open_model, sentences, tmp_path):
    same = prune(open_model(), tmp_path / "same", layers=range(4), heads={1: []})
    np.testing.assert_allclose(same.encode(sentences[:9]), open_model().encode(sentences[:9]), atol=1e-6)
    assert HEADS_CUT not in json.loads((tmp_path / "same" / "config.json").read_text())


def test_a_pruned_model_can_be_exported(open_model, sentences, tmp_path):
    pytest.importorskip("openvino")
    from shoal.encode.engines import Exported

    small = prune(open_model(), tmp_path / "small", layers=[0, 3], heads={0: [1, 2]})
    vectors = Exported(LanguageModel(str(tmp_path / "small"), precision="float32", device="cpu"), "openvino",
                       "float32", sample=sentences).encode(sentences[:9])  # fmt: skip
    np.testing.assert_allclose(vectors, small.encode(sentences[:9]), atol=1e-5)


@pytest.mark.parametrize(
    ("how", "error", "message"),
    [
        ({"layers": [4]}, ConfigError, "the model has layers 0 to 3"),
        ({"layers": []}, ConfigError, "Keep one at least"),
        ({"heads": {7: [0]}}, ConfigError, "the model has layers 0 to 3"),
        ({"heads": {0: [4]}}, ConfigError, "has heads 0 to 3"),
        ({"heads": {0: [0, 1, 2, 3]}}, ConfigError, "Leave one at least"),
    ],
)
def test_layers_and_heads_that_are_not_there_are_refused(open_model, tmp_path, how, error, message):
    with pytest.raises(error, match=message):
        prune(open_model(), tmp_path / "small", **how)
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_pruned_is_told(open_model, sentences, tmp_path):
    with pytest.raises(EncoderError, match="Heads cannot be pruned in GPT2Block"):
        head_effects(open_model("gpt2"), sentences[:3])
    with pytest.raises(ConfigError, match="keep = 5: the model has 4 layers"):
        choose_layers(open_model(), 5)
    with pytest.raises(ConfigError, match="cut = 13: must be 0 to 12"):
        choose_heads(np.zeros((4, 4)), 13)
    small = prune(open_model(), tmp_path / "small", heads={0: [0]})
    with pytest.raises(EncoderError, match="have been pruned already"):
        prune(small, tmp_path / "again", layers=[0])
    with pytest.raises(EncoderError, match="is there already"):
        prune(open_model(), tmp_path / "small", layers=[0])
    with pytest.raises(EncoderError, match="has layers 0 to 3, and none called 9"):
        cut_heads(open_model().model, {"9": [0]})
    with pytest.raises(EncoderError, match="cannot be cut"):
        cut_heads(open_model().model, {"0": [0, 1, 2, 3]})


def test_parts_that_a_plain_folder_cannot_hold_are_noticed(open_model, tmp_path):
    from shoal.encode.layers import insert_bottlenecks

    lm = open_model()
    insert_bottlenecks(lm.model, 32, 4, torch.Generator().manual_seed(0))
    with torch.no_grad():
        for name, parameter in lm.model.named_parameters():
            if ".up." in name:
                parameter.add_(0.5)
    with pytest.raises(EncoderError, match="has parts that a folder of its kind cannot hold"):
        prune(lm, tmp_path / "small", layers=[0, 1])
    assert not list(tmp_path.iterdir())
