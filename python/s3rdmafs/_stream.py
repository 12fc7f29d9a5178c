# SPDX-License-Identifier: Apache-2.0
"""Files one after the other, the next ones on their way."""
import collections
import concurrent.futures

from ._open import map as map_file


def stream(paths, ahead=8, *, device=None):
    """Yields a mapping of each file, in order, while up to `ahead` of those
    behind it are being fetched.  An item is a path, or (path, offset, length).
    What is yielded lives as long as somebody holds it: drop it, or close it,
    before the pool is full of such.  An error is raised when its file's turn
    comes; the stream can not be continued after it."""
    if ahead < 1:
        raise ValueError("ahead must be at least 1")
    return _stream(iter(paths), ahead, device)


def _stream(items, ahead, device):
    def one(item):
        args = item if isinstance(item, tuple) else (item,)
        return map_file(*args, device=device)

    queue = collections.deque()
    # Threads, because a map blocks; the interpreter is let go meanwhile.
    with concurrent.futures.ThreadPoolExecutor(ahead) as pool:
        def more():
            for item in items:
                queue.append(pool.submit(one, item))
                return

        for _ in range(ahead):
            more()
        try:
            while queue:
                m = queue.popleft().result()
                more()
                yield m
                del m  # or it would be held while the next is waited for
        finally:
            for f in queue:
                f.cancel()
