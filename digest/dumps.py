"""PostgreSQL's own programs: a dump of a database, and its content in one transaction."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from sqlalchemy import URL

from digest.errors import DatabaseError


def run(url: URL, program: str, *arguments: str | Path) -> str:
    """What one of the programs says of the database. Raises DatabaseError where it fails."""
    done = subprocess.run(  # noqa: S603 (a fixed program; the arguments are ours and a file's name)
        [program, *map(str, arguments)],
        env=_environment(url, program),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise DatabaseError(f"{program} failed: {done.stderr.strip() or done.returncode}")
    return done.stdout


def replace(url: URL, file: Path, tables: Iterable[str], last: str) -> None:
    """Drops the `tables`, of which the dump may know fewer, brings in what the dump holds and runs
    the `last` statements: all in one transaction. Whoever dies meanwhile, psql or we, says no
    COMMIT, and nothing has changed. Raises DatabaseError where anything fails."""
    script = ("pg_restore", "--clean", "--if-exists", "--no-owner", "--file=-", str(file))
    reader = ("psql", "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--output=/dev/null")
    drop = f"DROP TABLE IF EXISTS {', '.join(tables)} CASCADE"
    with (
        tempfile.TemporaryFile() as said,
        subprocess.Popen(  # noqa: S603 (as above)
            reader,
            env=_environment(url, script[0], reader[0]),
            stdin=subprocess.PIPE,
            stderr=said,
        ) as psql,
    ):
        assert psql.stdin is not None
        restored = 1
        with suppress(BrokenPipeError), psql.stdin as into:  # psql has ended, and says why
            into.write(f"BEGIN;\n{drop};\n".encode())
            into.flush()
            restored = subprocess.run(script, stdout=into, stderr=said, check=False).returncode  # noqa: S603
            if restored == 0:
                into.write(f"{last}\nCOMMIT;\n".encode())
        psql.wait()
        said.seek(0)
        if restored or psql.returncode:
            why = said.read().decode("utf-8", "replace").strip()
            raise DatabaseError(f"pg_restore failed: {why or psql.returncode}")


def _environment(url: URL, *programs: str) -> dict[str, str]:
    """The password is in no argument."""
    for program in programs:
        if shutil.which(program) is None:
            raise DatabaseError(
                f"{program} is not installed: it comes with PostgreSQL's client tools"
            )
    given = {
        "PGHOST": url.host or url.query.get("host"),
        "PGPORT": url.port or url.query.get("port"),
        "PGUSER": url.username,
        "PGPASSWORD": url.password,
        "PGDATABASE": url.database,
    }
    return os.environ | {name: str(value) for name, value in given.items() if value}
