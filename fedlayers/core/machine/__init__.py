"""What does this process find on the machine?

The CPUs, memory and GPUs that a scheduler or a container leaves it, and the terminal that it writes to. May
import ``core``.
"""
