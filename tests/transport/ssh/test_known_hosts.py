"""known_hosts files as OpenSSH's client reads them, and processes that add a key at once."""

from __future__ import annotations

import base64
import fcntl
import multiprocessing
import os
import stat
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from aegis_provision.transport.ssh.known_hosts import (
    KeyVerdict,
    add_if_new,
    entry_names,
    parse_known_hosts,
    read_known_hosts,
)
from aegis_provision.transport.ssh.public_keys import (
    HostKey,
    is_too_short,
    plain_key,
    read_public_key,
)
from tests.fleet.clients import need
from tests.fleet.openssh import make_key, running_sshd

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.synchronize import Barrier

    from tests.fleet.openssh import Sshd


def string(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data


def ed25519(number: int) -> HostKey:
    """Return a key that no one holds the other half of."""
    blob = string(b"ssh-ed25519") + string(number.to_bytes(32, "big"))
    return HostKey("ssh-ed25519", blob)


def written(key: HostKey) -> str:
    return f"{key.key_type} {base64.b64encode(key.blob).decode()}"


A, B = ed25519(1), ed25519(2)
NAMES = ("[h]:2222", "h")


def verdict(text: str, key: HostKey = A, names: tuple[str, ...] = NAMES) -> KeyVerdict:
    filled = text.replace("A.", written(A)).replace("B.", written(B))
    return parse_known_hosts([filled.encode("utf-8", "surrogateescape")]).verdict(names, key)


KNOWN, NEW, REVOKED = KeyVerdict("known"), KeyVerdict("new"), KeyVerdict("revoked")
CHANGED = KeyVerdict("changed", (B,))

VERDICTS = {
    "": NEW,
    "[h]:2222 A.": KNOWN,
    "h A.": KNOWN,
    "[h]:2222 B.\nh A.": CHANGED,
    "h A.\n[h]:2222 B.": CHANGED,
    "h B.": NEW,
    "[h]:2222 B.\n[h]:2222 A.": KNOWN,
    "h B.\nh A.": KNOWN,
    "@revoked [h]:2222 A.\n[h]:2222 A.": REVOKED,
    "@revoked h A.": REVOKED,
    "@revoked h A.\n[h]:2222 A.": KNOWN,
    "@revoked h A.\n[h]:2222 B.": CHANGED,
    "@revoked [h]:2222 A.\n[h]:2222 B.": REVOKED,
    "@revoked [h]:2222 B.\nh A.": KNOWN,
    "@revoked\t*\tA.\nh A.": REVOKED,
    # OpenSSH's client overlooks this one, because of a blank further on.
    "@revoked\t* A.\nh A.": REVOKED,
    "@revokedx * A.\nh A.": KNOWN,
    "@cert-authority [h]:2222 B.\nh A.": KNOWN,
    "@cert-authority h A.": NEW,
    "x,[h]:2222 A.": KNOWN,
    "H A.": KNOWN,
    "h\tA.": KNOWN,
    " \th  A.": KNOWN,
    "h A.\r\nx B.": KNOWN,
    "#h A.": NEW,
    "#h,h A.": NEW,
    " #,h A.": NEW,
    "\0h A.": NEW,
    "h\0A.": KNOWN,
    "h\0\tA.": KNOWN,
    "h x\0A.": NEW,
    "h \0A.": NEW,
    "h": NEW,
    "h ssh-ed25519": NEW,
    "[h]:* B.\nh A.": CHANGED,
    "[?]:2222 A.": KNOWN,
    "*,!h A.": KNOWN,
    "*,![h]:2222 A.": KNOWN,
    "*,!h,![h]:2222 A.": NEW,
    "!h,h A.": NEW,
    "!x,h A.": KNOWN,
    "x|y A.\nh A.": KNOWN,
    "[[]h]:2222 A.": NEW,
}  # fmt: skip


@pytest.mark.parametrize("text", VERDICTS)
def test_the_verdict_on_a_key(text: str) -> None:
    assert verdict(text) == VERDICTS[text]


def test_lines_of_plain_names_are_found_by_name_and_the_others_are_gone_through() -> None:
    text = (
        f"h,X {written(A)}\n*.y {written(A)}\n!z,q {written(A)}\na? {written(A)}\n|1| {written(A)}"
    )
    found = parse_known_hosts([text.encode()])
    assert sorted(found.by_name) == [b"h", b"x"]
    assert [line.names for line in found.patterns] == [b"*.y", b"!z,q", b"a?", b"|1|"]


def test_changed_names_every_key_that_is_known() -> None:
    assert verdict("[h]:2222 B.\n[h]:2222 A.", ed25519(3)) == KeyVerdict("changed", (B, A))


def test_a_name_alone_has_no_second() -> None:
    assert verdict("[h]:2222 A.\nalias B.", A, ("alias",)) == CHANGED
    assert entry_names("Alias.Example", 22) == ("alias.example",)
    assert entry_names("H", 23) == ("[h]:23", "h")


@pytest.mark.parametrize(("length", "expected"), [(1022, KNOWN), (1023, NEW)])
def test_a_pattern_that_is_too_long_ends_its_line(length: int, expected: KeyVerdict) -> None:
    assert verdict(f"h,{'x' * length} A.") == expected
    assert verdict(f"h,!{'x' * length} A.") == expected


def test_a_list_may_be_longer_than_a_pattern() -> None:
    assert verdict("x," * 1000 + "h A.") == KNOWN


def test_names_that_are_no_text_are_found() -> None:
    name = b"caf\xe9".decode("utf-8", "surrogateescape")
    assert verdict(f"{name} A.", A, (name,)) == KNOWN
    assert verdict(" \tXa A.", A, ("xa",)) == KNOWN


def hashed(name: str, salt: bytes = b"s" * 20) -> str:
    digest = subprocess.run(
        ["openssl", "dgst", "-sha1", "-mac", "HMAC", "-macopt", f"hexkey:{salt.hex()}", "-binary"],
        input=name.encode(),
        capture_output=True,
        check=True,
    ).stdout
    return f"|1|{base64.b64encode(salt).decode()}|{base64.b64encode(digest).decode()}"


def test_hashed_names() -> None:
    need("openssl", "openssl")
    assert verdict(f"{hashed('h')} A.") == KNOWN
    assert verdict(f"{hashed('[h]:2222')} B.\nh A.") == CHANGED
    assert verdict(f"{hashed('x')} B.\nh A.") == KNOWN


def test_a_hash_is_the_whole_field_and_written_in_one_way_only() -> None:
    need("openssl", "openssl")
    right = hashed("h")
    salt = right.split("|")[2]
    for wrong in (
        f"{right},x",
        f"x,{right}",
        right.replace("|1|", "|2|"),
        right.replace("|1|", "||"),
        right.rstrip("="),
        right.replace(salt, salt.rstrip("=")),
        right.replace(salt, "!" + salt),
        hashed("h", b"s" * 19),
        hashed("h", b"s" * 21),
        "|1|",
        "|1|||",
    ):
        assert verdict(f"{wrong} A.") == NEW, wrong


RSA = string(b"ssh-rsa") + string(b"\1\0\1") + string(b"\0" + b"\x80" + bytes(127))
POINT = b"\4" + b"x" * 64
SHAPES = {
    "ssh-ed25519": ([b"k" * 32], [[b"k" * 31], [b"k" * 33], [b"k" * 32, b""], []]),
    "sk-ssh-ed25519@openssh.com": ([b"k" * 32, b"ssh:"], [[b"k" * 32], [b"k" * 31, b"ssh:"]]),
    "ecdsa-sha2-nistp256": (
        [b"nistp256", POINT],
        [[b"nistp384", POINT], [b"nistp256", POINT[1:]], [b"nistp256", b"\2" + POINT[1:]], [POINT]],
    ),
    "ecdsa-sha2-nistp384": ([b"nistp384", b"\4" + b"x" * 96], [[b"nistp384", POINT]]),
    "ecdsa-sha2-nistp521": ([b"nistp521", b"\4" + b"x" * 132], [[b"nistp521", POINT]]),
    "sk-ecdsa-sha2-nistp256@openssh.com": (
        [b"nistp256", POINT, b"ssh:"],
        [[b"nistp256", POINT], [b"nistp384", POINT, b"ssh:"]],
    ),
    "ssh-rsa": ([b"\1\0\1", b"\0" + b"\x80" + bytes(127)], [[b"\1"], [b"\1", b"\1", b"\1"]]),
    "ssh-dss": ([b"p", b"q", b"g", b"y"], [[b"p", b"q", b"g"]]),
    "odd": ([], []),
}  # fmt: skip


def blob_of(key_type: str, fields: list[bytes]) -> bytes:
    return b"".join(string(field) for field in [key_type.encode(), *fields])


@pytest.mark.parametrize("key_type", [key_type for key_type in SHAPES if key_type != "odd"])
def test_what_is_a_key(key_type: str) -> None:
    right, wrong = SHAPES[key_type]
    key = HostKey(key_type, blob_of(key_type, right))
    assert read_public_key(f"  {written(key)} comment".encode()) == key
    assert read_public_key(written(key).replace(" ", "\t \t").encode()) == key
    for fields in wrong:
        assert (
            read_public_key(written(HostKey(key_type, blob_of(key_type, fields))).encode()) is None
        )
    cut, longer = HostKey(key_type, key.blob[:-1]), HostKey(key_type, key.blob + b"\0\0\0")
    assert read_public_key(written(cut).encode()) is None
    assert read_public_key(written(longer).encode()) is None
    assert read_public_key(written(HostKey("ssh-x", key.blob)).encode()) is None


def test_a_certificate_holds_a_key() -> None:
    key_type = "ssh-ed25519-cert-v01@openssh.com"
    certificate = HostKey(key_type, blob_of(key_type, [b"nonce", b"k" * 32]) + b"the rest")
    assert read_public_key(written(certificate).encode()) == certificate
    assert plain_key(certificate) == HostKey("ssh-ed25519", blob_of("ssh-ed25519", [b"k" * 32]))
    for fields in ([b"nonce"], [b"nonce", b"k" * 31]):
        wrong = HostKey(key_type, blob_of(key_type, fields))
        assert read_public_key(written(wrong).encode()) is None
    unknown = HostKey("odd-cert-v01@openssh.com", b"")
    assert plain_key(unknown) == unknown


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"ssh-ed25519",
        b"odd AAAAA29kZA==",
        b"\xff AAAA",
        b"ssh-ed25519 ====",
        b"ssh-ed25519 AAAA!",
    ],
)
def test_what_is_no_key(text: bytes) -> None:
    assert read_public_key(text) is None


def test_base64_is_read_as_openssh_reads_it() -> None:
    text = written(A)
    assert read_public_key(f"{text[:30]}\v\f\r{text[30:]}\r".encode()) == A
    last = text.rstrip("=")[-1]
    digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    key = HostKey("ssh-rsa", RSA)
    padded = written(key)
    assert padded.endswith("=")
    last = padded.rstrip("=")[-1]
    loose = padded.rstrip("=")[:-1] + digits[digits.index(last) + 1] + "=" * padded.count("=")
    assert read_public_key(padded.encode()) == key
    assert read_public_key(loose.encode()) is None
    assert read_public_key(padded.rstrip("=").encode()) is None


def test_an_rsa_key_may_be_called_by_its_signatures_names() -> None:
    text = base64.b64encode(RSA).decode()
    for name in ("ssh-rsa", "rsa-sha2-256", "rsa-sha2-512"):
        assert read_public_key(f"{name} {text}".encode()) == HostKey("ssh-rsa", RSA)


def test_a_short_rsa_key_is_not_counted() -> None:
    short = HostKey("ssh-rsa", blob_of("ssh-rsa", [b"\1\0\1", b"\x7f" + bytes(127)]))
    enough = HostKey("ssh-rsa", RSA)
    assert (is_too_short(short), is_too_short(enough), is_too_short(A)) == (True, False, False)
    assert verdict(f"[h]:2222 {written(short)}\nh A.") == KNOWN
    assert verdict(f"[h]:2222 {written(enough)}\nh A.") == KeyVerdict("changed", (enough,))


def test_a_file_that_was_changed_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "known_hosts"
    assert read_known_hosts([path]).about("h").trusted == ()
    path.write_text(f"h {written(A)}\n")
    os.utime(path, ns=(1, 1))
    assert read_known_hosts([path]).about("h").trusted == (A,)
    process = tmp_path / "other"
    process.write_text(f"h {written(B)}\n")
    os.utime(process, ns=(1, 1))
    process.replace(path)
    assert read_known_hosts([path]).about("h").trusted == (B,)
    os.utime(path, ns=(2, 2))
    path.write_text(f"h {written(B)}\nh {written(A)}\n")
    os.utime(path, ns=(2, 2))
    assert read_known_hosts([path]).about("h").trusted == (B, A)


# --- OpenSSH's own client says the same of any file ---


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with running_sshd(tmp_path_factory.mktemp("known") / "server") as running:
        yield running


@pytest.fixture(scope="module")
def other_key(tmp_path_factory: pytest.TempPathFactory) -> str:
    public = make_key(tmp_path_factory.mktemp("other") / "key").with_suffix(".pub")
    return " ".join(public.read_text().split()[:2])


def openssh_trusts(server: Sshd, files: list[Path]) -> bool:
    """Tell whether the real client goes on to the login, having seen the server's key."""
    ssh_options = {
        "StrictHostKeyChecking": "yes",
        "UserKnownHostsFile": " ".join(map(str, files)),
        "GlobalKnownHostsFile": "none",
        "BatchMode": "yes",
        "PreferredAuthentications": "none",
        "UpdateHostKeys": "no",
    }
    command = [need("ssh", "openssh-client"), "-F", "none", "-p", str(server.port)]
    command += [word for key, value in ssh_options.items() for word in ("-o", f"{key}={value}")]
    completed = subprocess.run(
        [*command, server.address], capture_output=True, check=False, stdin=subprocess.DEVNULL
    )
    trusted, refused = (
        b"Permission denied" in completed.stderr,
        b"verification failed" in completed.stderr,
    )
    assert trusted != refused, completed.stderr
    return trusted


_NAME = st.sampled_from(
    ["{name}", "{name}", "127.0.0.1", "127.0.0.1", "[127.0.0.1]:1", "x", "*", "[127.*]:{port}",
     "!{name}", "!127.0.0.1", "!x", "127.0.0.?", "\v*", "LOCALHOST", ""]
)  # fmt: skip
_FIRST = st.one_of(
    st.lists(_NAME, min_size=1, max_size=3).map(",".join),
    st.sampled_from(["{name}", "127.0.0.1", "x"]).map("#hash#{}".format),
)
_MARKER = st.sampled_from(["", "", "", "@revoked ", "@cert-authority ", "@odd ", "@revoked"])
_SPACE = st.sampled_from([" ", " ", " ", "\t", "  ", "\v", "\0", "\xa0", "\r"])
_KEY = st.sampled_from(
    ["{key}", "{key}", "{other}", "{other}", "{key}\r", "{cut}", "ssh-rsa {blob}"]
)
_TAIL = st.sampled_from(["", "", " c", "\v* {key}", " \f* {key}", " \x85* {key}", " \u2028* {key}",
                         " \0* {key}", "\r", " \x1c* {key}", " a\r{name} {key}"])  # fmt: skip
_END = st.sampled_from(["\n", "\n", "\n", "\r\n", "\r", "\v", "\f", "\x85", "\u2028", "\n\n"])
_LINE = st.tuples(_MARKER, _FIRST, _SPACE, _KEY, _TAIL, _END).map("".join)


def filled(text: str, server: Sshd, other_key: str) -> bytes:
    key = " ".join(server.host_key.read_text().split()[:2])
    fields = {
        "name": server.entry,
        "port": server.port,
        "key": key,
        "other": other_key,
        "cut": key[:40],
        "blob": key.split()[1],
    }
    words = text.format(**fields).split("#hash#")
    for place, word in enumerate(words[1:], start=1):
        name = next(name for name in (server.entry, "127.0.0.1", "x") if word.startswith(name))
        words[place] = hashed(name) + word.removeprefix(name)
    return "".join(words).encode("utf-8")


@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(texts=st.lists(st.lists(_LINE, max_size=4).map("".join), min_size=1, max_size=2))
@example(texts=["{name} {other}\n127.0.0.1 {key}\n"])
@example(texts=["127.0.0.1 {key}\n", "{name} {other}\n"])
@example(texts=["x {other} \v* {key}\n"])
def test_openssh_says_the_same_of_any_files(
    texts: list[str], server: Sshd, other_key: str, tmp_path: Path
) -> None:
    need("openssl", "openssl")
    contents = [filled(text, server, other_key) for text in texts]
    files = [tmp_path / f"known_hosts{number}" for number in range(len(contents))]
    for file, content in zip(files, contents, strict=True):
        file.write_bytes(content)
    key = read_public_key(server.host_key.read_bytes())
    assert key is not None
    found = read_known_hosts(files).verdict(entry_names(server.address, server.port), key)
    assert (found.standing == "known") == openssh_trusts(server, files)


# --- the first key that is taken is the only one ---


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines()


def test_a_new_key_is_added_once(tmp_path: Path) -> None:
    path = tmp_path / "new" / "known_hosts"
    assert add_if_new([path], NAMES, A) == NEW
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert add_if_new([path], NAMES, A) == KNOWN
    assert add_if_new([path], NAMES, B) == KeyVerdict("changed", (A,))
    assert lines(path) == [f"[h]:2222 {written(A)}"]


def test_what_the_other_files_say_counts_too(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    second.write_text(f"[h]:2222 {written(B)}\n")
    assert add_if_new([first, second], NAMES, A) == CHANGED
    assert add_if_new([first, second], NAMES, B) == KNOWN
    assert first.read_bytes() == b""


@pytest.mark.parametrize("before", ["", "x y\n", "x y"])
def test_what_was_there_stays(before: str, tmp_path: Path) -> None:
    path = tmp_path / "known_hosts"
    path.write_text(before)
    path.chmod(0o640)
    add_if_new([path], NAMES, A)
    assert lines(path) == [*before.splitlines(), f"[h]:2222 {written(A)}"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


PATTERNS = ["*", "a?", "a,b", "!a", "@a", "#a", "|1|", "a b", "a\n", "a\x7f", "", "[a", "[]:1",
            "[a*]:1", "[a]:x", "[a]:123456", "a\\", "'a", '"a']  # fmt: skip


@pytest.mark.parametrize("name", PATTERNS)
def test_a_name_that_would_say_something_else_is_not_saved(name: str, tmp_path: Path) -> None:
    path = tmp_path / "known_hosts"
    with pytest.raises(ValueError):  # noqa: PT011 - it holds the name
        add_if_new([path], (name,), A)
    assert path.read_bytes() == b""


@pytest.mark.parametrize("name", ["a", "::1", "[::1]:65535", "fe80::1%eth0", "a_b-c.d", "\u00e9"])
def test_a_plain_name_is_saved_and_found(name: str, tmp_path: Path) -> None:
    path = tmp_path / "known_hosts"
    assert add_if_new([path], (name,), A) == NEW
    assert read_known_hosts([path]).verdict((name,), A) == KNOWN


def test_of_thirty_threads_one_is_the_first(tmp_path: Path) -> None:
    path = tmp_path / "known_hosts"
    path.write_text("last line without an end")
    together = threading.Barrier(30)

    def add(number: int) -> list[str]:
        together.wait(timeout=60)
        return [add_if_new([path], (f"h{host}",), ed25519(number)).standing for host in range(10)]

    with ThreadPoolExecutor(30) as pool:
        ends = list(pool.map(add, range(30)))
    for host in range(10):
        assert sorted(end[host] for end in ends) == ["changed"] * 29 + ["new"]
    assert sorted(line.split()[0] for line in lines(path)) == sorted(
        ["last", *(f"h{host}" for host in range(10))]
    )


def _add_all(path: Path, number: int, together: Barrier) -> None:
    together.wait(timeout=60)
    for host in range(50):
        add_if_new([path], (f"h{host}",), ed25519(number))


def test_of_two_processes_one_is_the_first(tmp_path: Path) -> None:
    path = tmp_path / "known_hosts"
    spawn = multiprocessing.get_context("spawn")
    together = spawn.Barrier(2)
    processes = [spawn.Process(target=_add_all, args=(path, number, together)) for number in (1, 2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=120)
    assert [process.exitcode for process in processes] == [0, 0]
    assert sorted(line.split()[0] for line in lines(path)) == sorted(f"h{n}" for n in range(50))


def _waits_for_the_lock(path: Path) -> bool:
    inode = str(path.stat().st_ino)
    return any(
        "->" in line and line.split()[6].endswith(f":{inode}")
        for line in Path("/proc/locks").read_text().splitlines()
    )


def test_a_file_that_is_replaced_meanwhile_is_not_written_to(tmp_path: Path) -> None:
    path, fresh = tmp_path / "known_hosts", tmp_path / "fresh"
    path.write_text("# the old file\n")
    fresh.write_text(f"[h]:2222 {written(B)}\n")
    with path.open() as held, ThreadPoolExecutor(1) as pool:
        fcntl.flock(held, fcntl.LOCK_EX)
        adding = pool.submit(add_if_new, [path], NAMES, A)
        while not _waits_for_the_lock(path):
            os.sched_yield()
        fresh.replace(path)
        fcntl.flock(held, fcntl.LOCK_UN)
        assert adding.result(timeout=30) == CHANGED
        held.seek(0)
        assert held.read() == "# the old file\n"


def test_a_file_that_is_removed_meanwhile_is_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "known_hosts"
    path.write_text("# the old file\n")
    with path.open() as held, ThreadPoolExecutor(1) as pool:
        fcntl.flock(held, fcntl.LOCK_EX)
        adding = pool.submit(add_if_new, [path], NAMES, A)
        while not _waits_for_the_lock(path):
            os.sched_yield()
        path.unlink()
        fcntl.flock(held, fcntl.LOCK_UN)
        assert adding.result(timeout=30) == NEW
    assert lines(path) == [f"[h]:2222 {written(A)}"]


def test_no_key_is_added_where_it_would_be_lost() -> None:
    with pytest.raises(OSError, match="it is not a regular file but a device"):
        add_if_new([Path("/dev/null")], NAMES, A)
