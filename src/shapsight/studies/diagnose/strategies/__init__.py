"""One strategy or several?"""
