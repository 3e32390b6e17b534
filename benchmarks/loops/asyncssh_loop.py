"""The loop with asyncssh, in one thread."""

from __future__ import annotations

import asyncio

import asyncssh

from benchmarks.loops.arguments import parse_loop


async def _visit_all() -> int:
    loop = parse_loop()
    key = asyncssh.read_private_key(loop.key)
    known = asyncssh.read_known_hosts(str(loop.known_hosts))
    content = loop.content.read_bytes() if loop.content else None
    at_once = asyncio.Semaphore(loop.forks)

    async def visit(address: str, path: str) -> int:
        async with (
            at_once,
            asyncssh.connect(
                address,
                loop.port,
                username=loop.user,
                client_keys=[key],
                known_hosts=known,
                agent_path=None,
                config=None,
            ) as connection,
            connection.start_sftp_client() as sftp,
        ):
            async with sftp.open(path, "rb") as file:
                found = await file.read()
            if content is not None:
                staging = f"{path}.new"
                async with sftp.open(staging, "wb") as file:
                    await file.write(content)
                await sftp.posix_rename(staging, path)
            return len(found)

    return sum(await asyncio.gather(*(visit(address, path) for address, path in loop.hosts)))


def main() -> None:
    """Visit every host; print how many bytes were read."""
    print(asyncio.run(_visit_all()))


if __name__ == "__main__":
    main()
