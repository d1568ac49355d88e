"""How is slow work done beside answers that are quick?

In processes of its own, with progress and an end that can be asked for; what it found is kept on disk by content. May
import ``explore`` and what that may.
"""
