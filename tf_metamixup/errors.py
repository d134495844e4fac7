"""The one kind of error that is told to a person without a stack trace."""


class UserError(ValueError):
    """Something that the person who started the run can mend.

    The message names the value, what is allowed and what to do; `main` prints it and exits.
    """
