"""A real mail server (exim) and a real IMAP server (dovecot) for the tests, each configured in a
folder of its own on a loopback port, without a system service."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import free_port

EXIM = shutil.which("exim4") or "/usr/sbin/exim4"
DOVECOT = shutil.which("dovecot") or "/usr/sbin/dovecot"
USER = "Debian-exim"  # whom the packages of Debian run it as
PATIENCE = 30  # seconds

# Readers' mail goes into a Maildir; what comes back to the sender, into another; what is for the
# domain of the next hop, to the server at that port.
EXIM_CONFIG = """
primary_hostname = mx.reader.test
spool_directory = {folder}/spool
log_file_path = {folder}/exim-%slog
pid_file_path = {folder}/exim.pid
exim_user = {user}
exim_group = {user}
daemon_smtp_ports = {port}
local_interfaces = 127.0.0.1
hosts_treat_as_local =
tls_advertise_hosts =
smtputf8_advertise_hosts = *
host_lookup =
keep_environment =
never_users =
acl_smtp_rcpt = all
begin acl
all:
  accept
begin routers
readers:
  driver = accept
  domains = reader.test
  transport = readers
ourselves:
  driver = accept
  domains = digest.test
  transport = ourselves
elsewhere:
  driver = manualroute
  domains = next.test
  route_data = 127.0.0.1
  self = send
  transport = next
begin transports
readers:
  driver = appendfile
  directory = {folder}/readers
  maildir_format
  delivery_date_add
  envelope_to_add
  return_path_add
  user = {user}
ourselves:
  driver = appendfile
  directory = {folder}/ourselves
  maildir_format
  envelope_to_add
  return_path_add
  user = {user}
next:
  driver = smtp
  port = {next_port}
  allow_localhost
  hosts_try_dane =
"""

DOVECOT_CONFIG = """
protocols = imap
listen = 127.0.0.1
base_dir = {folder}/run
state_dir = {folder}/run
log_path = {folder}/dovecot.log
{ssl}
disable_plaintext_auth = no
auth_failure_delay = 0
first_valid_uid = 1
mail_location = maildir:{folder}/ourselves
passdb {{
  driver = static
  args = password=open-sesame
}}
userdb {{
  driver = static
  args = uid={user} gid={user} home={folder}
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {imap_port}
  }}
  inet_listener imaps {{
    port = {imaps_port}
    ssl = yes
  }}
}}
service anvil {{
  chroot =
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
"""


@dataclass(frozen=True)
class Mta:
    folder: Path
    port: int
    next_port: int

    @property
    def readers(self) -> Path:
        return self.folder / "readers"

    @property
    def ourselves(self) -> Path:
        return self.folder / "ourselves"

    def wait_for(self, box: Path, count: int) -> list[bytes]:
        """The mails in a Maildir, as soon as there are so many."""
        end = time.monotonic() + PATIENCE
        while len(found := list((box / "new").glob("*"))) < count:
            if time.monotonic() > end:
                logs = [log.read_text() for log in self.folder.glob("exim-*log")]
                pytest.fail(f"{len(found)} of {count} mails came: {logs}")
            time.sleep(0.05)
        return [mail.read_bytes() for mail in sorted(found)]


def needed(program: str, package: str) -> None:
    if not Path(program).exists():
        pytest.skip(f"{program} is not there: `apt-get install {package}` as .ci/run does")
    if os.geteuid() != 0:
        pytest.skip(f"{program} needs root to change to its own user")


@contextmanager
def exim() -> Iterator[Mta]:
    """Takes all mail for reader.test, digest.test and next.test."""
    needed(EXIM, "exim4-daemon-light")
    mta = Mta(Path(tempfile.mkdtemp(prefix="exim-")), free_port(), free_port())
    values = {"folder": mta.folder, "port": mta.port, "next_port": mta.next_port, "user": USER}
    config = mta.folder / "exim.conf"
    config.write_text(EXIM_CONFIG.format(**values))
    with _running(mta.folder, [EXIM, "-C", config, "-bdf"], mta.port):
        yield mta


@contextmanager
def dovecot(folder: Path, certificate: Path | None = None) -> Iterator[int]:
    """Serves the Maildir `ourselves` in that folder over IMAP, within TLS where there is a file of
    its certificate and key; gives the port."""
    needed(DOVECOT, "dovecot-imapd")
    port = free_port()
    config = folder / "dovecot.conf"
    ssl, ports = "ssl = no", {"imap_port": port, "imaps_port": 0}
    if certificate is not None:
        ssl = f"ssl = required\nssl_cert = <{certificate}\nssl_key = <{certificate}"
        ports = {"imap_port": 0, "imaps_port": port}
    config.write_text(DOVECOT_CONFIG.format(folder=folder, user=USER, ssl=ssl, **ports))
    with _running(folder, [DOVECOT, "-F", "-c", config], port, remove=False):
        yield port


@contextmanager
def _running(
    folder: Path, command: list[str | Path], port: int, *, remove: bool = True
) -> Iterator[None]:
    owner = pwd.getpwnam(USER)
    os.chown(folder, owner.pw_uid, owner.pw_gid)
    folder.chmod(0o755)
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    try:
        _await(process, port)
        yield
    finally:
        process.terminate()
        process.wait(PATIENCE)
        if remove:
            shutil.rmtree(folder, ignore_errors=True)


def _await(process: "subprocess.Popen[bytes]", port: int) -> None:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    assert process.stderr is not None
    process.terminate()
    pytest.fail(f"{process.args} does not answer: {process.stderr.read().decode()}")
