"""The table of rules: every torch call that DeepSHAP can follow, each family in a file of its own."""

from shapsight.attribution.deep.rules import elementwise, identities, pooling, products, softmax
from shapsight.attribution.deep.rules.linear import LINEAR, METADATA
from shapsight.attribution.deep.rules.rule import RULES, Pair, PairedRule, Rule

__all__ = [
    "LINEAR",
    "METADATA",
    "RULES",
    "Pair",
    "PairedRule",
    "Rule",
    "elementwise",
    "identities",
    "pooling",
    "products",
    "softmax",
]
