"""A few of the random chains of `make stacks`: as Keras's in all numbers, or refused by both."""

import pytest

from . import stacks


# The first ones, and two that found mistakes of ours: axes that do not exist, a penalty inside SpectralNormalization.
@pytest.mark.parametrize("seed", [*range(16), 85, 96])
@pytest.mark.filterwarnings("ignore")
def test_a_random_chain_is_keras_s(seed):
    found, why = stacks.verdict(seed)
    assert found != "other", f"make stacks SEED={seed} COUNT=1\n{stacks.stack(seed)!r}\n{why}"
