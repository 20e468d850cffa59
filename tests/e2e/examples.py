# SPDX-License-Identifier: Apache-2.0
"""The files of docs/examples as they are, but for the addresses, paths and intervals
that a test has to have its own of."""

from harness import ROOT, write_file

DIRECTORY = ROOT / "docs" / "examples"
TOKEN = "correct horse battery staple"


def example(name, replace=None):
    """Its text. Each word of `replace` must be in it."""
    text = (DIRECTORY / name).read_text(encoding="utf-8")
    for old, new in (replace or {}).items():
        if old not in text:
            raise AssertionError(f"docs/examples/{name} has no {old!r}")
        text = text.replace(old, str(new))
    return text


def token_file():
    return write_file("token", TOKEN + "\n")
