"""The table of rules: every torch call that DeepSHAP can follow, each family in a file of its own."""

from shapsight.attribution.deep.rules import (
    attention,
    elementwise,
    fused,
    identities,
    lengths,
    masks,
    matmuls,
    maxima,
    norms,
    pooling,
    products,
    recurrent,
    sampling,
    softmax,
)
from shapsight.attribution.deep.rules.rule import RULES, Pair, PairedRule, Rule
from shapsight.attribution.deep.rules.vocabulary import (
    ANSWERS,
    ARITHMETIC,
    AS_OTHERS,
    CASTS,
    DISCRETE,
    ELEMENTWISE_ARITHMETIC,
    GRADIENT_HOOKS,
    LEAVES_TORCH,
    LINEAR,
    METADATA,
    RESHAPES,
    TAKES_MASKS,
)

# What makes an elementwise function of one tensor another elementwise function of it.
ELEMENTWISE_CALLS = ELEMENTWISE_ARITHMETIC.union(elementwise.ELEMENTWISE)

__all__ = [
    "ANSWERS",
    "ARITHMETIC",
    "AS_OTHERS",
    "CASTS",
    "DISCRETE",
    "ELEMENTWISE_CALLS",
    "GRADIENT_HOOKS",
    "LEAVES_TORCH",
    "LINEAR",
    "METADATA",
    "RESHAPES",
    "RULES",
    "TAKES_MASKS",
    "Pair",
    "PairedRule",
    "Rule",
    "attention",
    "elementwise",
    "fused",
    "identities",
    "lengths",
    "masks",
    "matmuls",
    "maxima",
    "norms",
    "pooling",
    "products",
    "recurrent",
    "sampling",
    "softmax",
]
