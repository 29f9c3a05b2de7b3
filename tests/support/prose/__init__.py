"""A check of our English in documents, docstrings, comments and error messages.

``rules`` is the table of marks and budgets, ``sentences`` finds sentences, ``__main__`` counts.
"""
