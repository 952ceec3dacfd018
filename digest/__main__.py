"""`digest …` and `python -m digest …`: an error is one clear line and exit code 1."""

import io
import os
import sys

from digest.errors import DigestError


def main() -> None:
    from digest.cli.main import cli

    _take_any_character()
    try:
        cli(prog_name="digest")
    except DigestError as error:
        print(f"digest: {error}", file=sys.stderr)
        sys.exit(1)
    except OSError as error:  # such as a full disk under standard output
        print(f"digest: {error}", file=sys.stderr)
        sys.exit(1)
    except MemoryError:
        print("digest: not enough memory; what was done stays, so run it again", file=sys.stderr)
        sys.exit(1)


def _take_any_character() -> None:
    """Where the terminal's encoding lacks a character, its number is printed; where standard output
    is closed, nothing is."""
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115, PTH123 (open to the end)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


if __name__ == "__main__":
    main()
