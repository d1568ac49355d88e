"""Which run do clients train alone in, before another one compares with it?"""
