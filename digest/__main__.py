"""`digest …` and `python -m digest …`: an error is one clear line and exit code 1."""

import sys

from digest.errors import DigestError


def main() -> None:
    from digest.cli.main import cli

    try:
        cli(prog_name="digest")
    except DigestError as error:
        print(f"digest: {error}", file=sys.stderr)
        sys.exit(1)
    except MemoryError:
        print("digest: not enough memory; what was done stays, so run it again", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
