"""Writing a file so that readers see the old one or the new one, also after a crash or power loss.

The only module that opens a town's files for writing. Every step passes a fault point, for tests/crash:
`GT_FAULT=<k>` in the environment kills the process with SIGKILL before its k-th write, fsync, rename, link,
unlink or git command; `GT_FAULT=full:<k>` lets every write from the k-th on find the disk full.
"""

from __future__ import annotations

import contextlib
import os
import stat

from gastown.store.layout import NAME_BYTES, TEMP_SUFFIX

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

# Taken out of the environment: it is meant for this process, not for the agents it starts.
_told = os.environ.pop("GT_FAULT", "")
_full = int(_told[5:]) if _told.startswith("full:") else 0
_fault = int(_told) if _told and not _full else 0
# Files open at one time; a process may have some hundreds.
_AT_ONCE = 64
# Linux takes this advice as: begin to write the file out now. Elsewhere fsync begins it.
_start_writing: Callable[[int, int, int, int], None] | None = getattr(os, "posix_fadvise", None)


def fault_point() -> None:
    """One step that a crash may precede."""
    global _fault
    if _fault:
        _fault -= 1
        if _fault == 0:
            os.kill(os.getpid(), 9)


def _space_point() -> None:
    global _full
    if _full > 1:
        _full -= 1
    elif _full == 1:
        import errno

        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def read(path: str, *, follow: bool = True) -> bytes:
    """The whole file; OSError as it comes, and for a pipe or device, which might keep us waiting for ever.

    Without `follow` also for a symbolic link.
    """
    # Three calls of the kernel where open() makes nine: an index without a cache reads ten thousand files.
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | (0 if follow else os.O_NOFOLLOW))
    try:
        what = os.fstat(handle)
        if not stat.S_ISREG(what.st_mode) and not stat.S_ISDIR(what.st_mode):
            import errno

            raise OSError(errno.EINVAL, "it is no ordinary file", path)
        size = what.st_size
        parts = [os.read(handle, size + 1)]
        if len(parts[0]) == size:
            return parts[0]
        while parts[-1]:
            parts.append(os.read(handle, 65_536))
        return b"".join(parts)
    finally:
        os.close(handle)


def read_or_none(path: str) -> bytes | None:
    """The whole file, or None if there is none. Any other trouble is raised: unknown is never empty."""
    try:
        return read(path)
    except FileNotFoundError:
        return None


def temp_path(path: str) -> str:
    """The one temporary name for `path`. Fixed, so that a leftover is found and overwritten (writers hold the lock)."""
    folder, name = os.path.split(path)
    if len(os.fsencode(name)) + 1 + len(TEMP_SUFFIX) > NAME_BYTES:
        import hashlib  # such names are rare

        name = hashlib.sha256(os.fsencode(name)).hexdigest()
    return os.path.join(folder, f".{name}{TEMP_SUFFIX}")


def write(path: str, data: bytes, *, temp: str | None = None, durable: bool = True, mode: int = 0o666) -> None:
    """Replace `path` by `data`: temporary file, fsync, rename, fsync of the folder.

    `temp` lies on the same file system (default: beside it). Without `durable` there is no fsync:
    for what can be rebuilt. On failure the old file stays and the temporary one is removed.
    """
    temp = temp or temp_path(path)
    try:
        fill(temp, data, durable=durable, mode=mode)
        fault_point()
        os.replace(temp, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temp)
        raise
    if durable:
        sync_folder(os.path.dirname(path))


def fill(path: str, data: bytes, *, durable: bool = True, mode: int = 0o666) -> None:
    """Write `data` to `path` in place: for names that nobody reads before they are renamed."""
    handle = _create(path, mode)
    try:
        _write_all(handle, data)
        if durable:
            fault_point()
            os.fsync(handle)
    finally:
        os.close(handle)


def fill_all(contents: Mapping[str, bytes], *, mode: int = 0o666) -> None:
    """As `fill`, for several files: each is fsynced, but the disk works on them together."""
    names = list(contents)
    for start in range(0, len(names), _AT_ONCE):
        _fill_some({name: contents[name] for name in names[start : start + _AT_ONCE]}, mode)


def _fill_some(contents: Mapping[str, bytes], mode: int) -> None:
    handles: list[int] = []
    try:
        for path, data in contents.items():
            handles.append(_create(path, mode))
            _write_all(handles[-1], data)
            if _start_writing:
                _start_writing(handles[-1], 0, 0, os.POSIX_FADV_DONTNEED)
        for handle in handles:
            fault_point()
            os.fsync(handle)
    finally:
        for handle in handles:
            os.close(handle)


def _create(path: str, mode: int) -> int:
    fault_point()
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)


def _write_all(handle: int, data: bytes) -> None:
    view = memoryview(data)
    half = len(data) // 2
    if half:
        # Two writes, so that a crash in the middle of a file is among the tested ones.
        view = view[_write(handle, view[:half]) :]
    while view:
        view = view[_write(handle, view) :]


def _write(handle: int, data: memoryview) -> int:
    fault_point()
    _space_point()
    return os.write(handle, data)


def append(path: str, data: bytes, at: int) -> None:
    """Put `data` at byte `at` of an append-only file and cut whatever torn text lay there. fsynced."""
    fault_point()
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        if os.fstat(handle).st_size != at:
            os.ftruncate(handle, at)
        os.lseek(handle, at, os.SEEK_SET)
        _write_all(handle, data)
        fault_point()
        os.fsync(handle)
    finally:
        os.close(handle)


def link_exclusive(path: str, data: bytes, *, spare: str, durable: bool = False) -> bool:
    """Create `path` with `data` in it from its first moment; False if it exists already.

    A lock made this way always tells whose it is, because it never stands empty. `spare` is a
    name on the same file system that only the holder of the town lock uses.
    """
    try:
        fill(spare, data, durable=durable)
        fault_point()
        os.link(spare, path)
        return True
    except FileExistsError:
        return False
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(spare)


def link(source: str, dest: str) -> None:
    """Another name for a file; FileExistsError if there is one already."""
    fault_point()
    os.link(source, dest)


def rename(source: str, dest: str) -> None:
    """Atomic rename."""
    fault_point()
    os.replace(source, dest)


def remove(path: str) -> bool:
    """Remove a file; False if it was not there."""
    fault_point()
    try:
        os.unlink(path)
    except FileNotFoundError:
        return False
    return True


def sync_folder(path: str) -> None:
    """Make renames in a folder durable."""
    handle = os.open(path, os.O_RDONLY)
    try:
        fault_point()
        os.fsync(handle)
    finally:
        os.close(handle)


def make_folders(path: str) -> None:
    """The folder and those above it; new ones are made durable."""
    if os.path.isdir(path):
        return
    above = os.path.dirname(path)
    make_folders(above)
    with contextlib.suppress(FileExistsError):
        os.mkdir(path)
    sync_folder(above)
