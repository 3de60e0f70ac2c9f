"""Attribution: explainers, and the Explanation that each of them returns."""
