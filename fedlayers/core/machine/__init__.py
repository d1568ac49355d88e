"""What may this process use of the machine?

The CPUs, memory and GPUs that a scheduler or a container leaves it. May import ``core``.
"""
