"""What this machine has for shapsight."""
