"""The whole story on a rendered world."""
