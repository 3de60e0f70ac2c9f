"""Can the explanation be trusted?"""
