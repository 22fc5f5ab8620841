#!/usr/bin/env python3
"""The load of the demo: requests at a steady pace, while the code of a plugin is replaced.

    demo-load.py URL OLD NEW

OLD and NEW are what the body of a response has from the old code and from the new. It goes on until the new code has
answered for a while, and fails if a request failed: another status than 200, no answer, or one with neither or both.
"""

import http.client
import sys
import threading
import time
import urllib.parse

CLIENTS = 4
PAUSE = 0.02
# After the first answer of the new code; and at most, until there is one.
AFTER, LONGEST = 1.5, 30


class Load:
    def __init__(self, url, old, new):
        self.url, self.old, self.new = urllib.parse.urlsplit(url), old, new
        self.lock = threading.Lock()
        self.count = {old: 0, new: 0}
        self.failed = []
        self.slowest = 0.0
        self.end = time.monotonic() + LONGEST

    def client(self, delay):
        connection = http.client.HTTPConnection(self.url.netloc, timeout=10)
        due = time.monotonic() + delay
        while due < self.end:
            time.sleep(max(0, due - time.monotonic()))
            due += PAUSE
            began = time.monotonic()
            try:
                connection.request("GET", self.url.path, headers={"x-request-id": "load"})
                response = connection.getresponse()
                status, body = response.status, response.read().decode()
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                status, body = repr(error), ""
            self.note(time.monotonic() - began, status, body)
        connection.close()

    def note(self, took, status, body):
        seen = [mark for mark in self.count if mark in body]
        with self.lock:
            self.slowest = max(self.slowest, took)
            if status != 200 or len(seen) != 1:
                self.failed.append(f"{status} {body}".strip())
                return
            if seen == [self.new] and not self.count[self.new]:
                self.end = min(self.end, time.monotonic() + AFTER)
            self.count[seen[0]] += 1


def main():
    _, url, old, new = sys.argv
    load = Load(url, old, new)
    threads = [threading.Thread(target=load.client, args=[PAUSE * i / CLIENTS]) for i in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    total = sum(load.count.values()) + len(load.failed)
    print(f"{load.count[old]} answers with {old}, then {load.count[new]} with {new}")
    print(f"{total} requests, {len(load.failed)} failed; the slowest took {load.slowest * 1000:.0f} ms")
    for failure in load.failed[:3]:
        print(f"failed: {failure}")
    if not load.count[new]:
        print(f"no answer had {new} within {LONGEST} s")
    return 1 if load.failed or not load.count[old] or not load.count[new] else 0


if __name__ == "__main__":
    sys.exit(main())
