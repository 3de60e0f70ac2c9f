"""Is that why it fails?"""
