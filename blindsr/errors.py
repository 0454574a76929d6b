"""The one exception that a user can cause."""


class BlindSRError(Exception):
    """Something that the user can put right.

    The message names the value at fault, the place it stands in, and what to do instead, in one or two lines.
    The command line prints it without a traceback; anything else that escapes is a defect and keeps its traceback.
    """
