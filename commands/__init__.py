"""The command line: `face-age` and its sub-commands."""

from train.extras import explain_what_lacks

explain_what_lacks()
