# SPDX-License-Identifier: Apache-2.0
"""A person who looks at the status again and again, and believes nothing of it."""
import json
import threading

from worker import children

PAUSE_S = 0.05  # so that what is watched comes to work, too


def running():
    """The processes of the applications of compose_file(), seen past lightermand and the engine."""
    return children(" is up; ")


class Watch:
    """While it lasts, every answer is checked: nothing runs where the state is `stopped`.

    It may last over restarts of lightermand, and while the engine is away; not while an application is brought up.
    """

    def __init__(self, device):
        self.device, self.asked, self.answers, self.lies = device, 0, 0, []
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, kind, *_):
        self.over.set()
        self.thread.join()
        if kind is None:
            assert not self.lies, f"{len(self.lies)} of {self.answers} answers are not so, as {self.lies[0]}"
            assert self.asked, "lightermand was never asked"

    def _look(self):
        while not self.asked or not self.over.wait(PAUSE_S):
            self.asked += 1
            try:
                status = self.device.status
            except (OSError, AssertionError):  # it does not run, or was killed meanwhile
                continue
            self.answers += 1
            # The answer came first, so a process that is found now ran then.
            if status["state"] == "stopped" and (found := running()):
                self.lies.append(f"{json.dumps(status)}, while these processes of the application run: {found}")
