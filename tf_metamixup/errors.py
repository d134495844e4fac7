"""The errors that are told to a person without a stack trace."""


class UserError(ValueError):
    """Something that the person who started the run can mend.

    The message names the value, what is allowed and what to do; `main` prints it and exits.
    """


class UnknownNameError(UserError):
    """A name on the command line that nothing has; `main` exits as for any other bad flag."""
