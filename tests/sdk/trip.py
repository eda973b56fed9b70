"""What every trip shares: where Sealgate is, three keys, and how a difference is told."""

import os
import sys
import time

BASE = os.environ["SEALGATE_URL"]
# A client key; one that nobody issued; one whose secret the provider refuses.
KEY = os.environ["SEALGATE_KEY"]
STRANGER = "mdw_" + "0" * 46
REFUSED = os.environ["SEALGATE_REFUSED_KEY"]


def same(what, got, wanted):
    if got != wanted:
        sys.exit(f"{what}: got {got!r}, wanted {wanted!r}")


def raised(what, kind, call):
    """What the client raises of its own kind."""
    try:
        got = call()
    except kind as error:
        return error
    sys.exit(f"{what}: nothing was raised, got {got!r}")


class Pace:
    """When each event of a stream came. The provider sends one every 150 ms."""

    def __init__(self):
        self.times = []

    def note(self):
        self.times.append(time.monotonic())

    def check(self):
        gaps = [after - before for before, after in zip(self.times, self.times[1:])]
        # One may be late and the next one early; none may have waited for all.
        spread = self.times[-1] - self.times[0]
        wanted = 0.1 * len(gaps)
        if spread < wanted or sum(gap > 0.05 for gap in gaps) < len(gaps) - 1:
            sys.exit(f"events came in a heap: {gaps}")


def told(client, what):
    print(f"{client}: {what}, wrong key, refused key: as ever")
