"""What plans that stay the same are called: nothing of a model is imported to say it."""

# Plan -> the setting that says which or how many layers, None if there is none.
KINDS: dict[str, str | None] = {
    "all": None,
    "personal": "personal",
    "shared": "shared",
    "groups": "groups",
    "prefix": "layers",
    "suffix": "layers",
    "random_prefix": None,
    "head": "head_layers",
    "body": "head_layers",
    "norms": None,
}
