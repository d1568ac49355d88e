"""What does the service answer where it cannot do what is asked?

A status of HTTP and one sentence. May import nothing of the package but errors and spelling.
"""
