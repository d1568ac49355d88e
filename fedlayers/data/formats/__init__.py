"""How do columns of files become arrays?

Numbers, labels and pictures of tables and of the Hugging Face hub. May import ``core`` and ``data``.
"""
