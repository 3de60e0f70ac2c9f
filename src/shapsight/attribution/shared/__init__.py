"""What several ways of attribution share: what they are given, how a model is asked, where and how much at a time."""
