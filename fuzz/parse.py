"""Fuzzes the parsing of requests: fuzz/README.md says how. `row_and_headers` reads an input."""

import sys

import atheris

with atheris.instrument_imports(include=["json", "handler"]):
    from fuzz.checks import check_request

if __name__ == "__main__":
    atheris.Setup(sys.argv, check_request)
    atheris.Fuzz()
