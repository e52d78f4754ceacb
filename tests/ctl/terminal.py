"""Runs assentctl at a pseudo-terminal, answering its questions as they come."""

import os
import pty
import select
import subprocess
import time


def at_a_terminal(ctl, arguments, dialogue, env=None, seconds=30):
    """`dialogue`: (what it must have asked, what to type). Everything it wrote, line ends made plain, and its exit code."""
    terminal, other_side = pty.openpty()
    process = subprocess.Popen([ctl.program, *arguments], stdin=other_side, stdout=other_side, stderr=other_side,
                               start_new_session=True, env={**ctl.env, "TERM": "xterm", **(env or {})})
    os.close(other_side)
    written, answers = "", list(dialogue)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if answers and answers[0][0] in written:
            os.write(terminal, answers.pop(0)[1].encode())
        if not select.select([terminal], [], [], 0.1)[0]:
            continue
        try:
            chunk = os.read(terminal, 65536)
        except OSError:  # Linux's way of saying that the other side is closed
            break
        written += chunk.decode(errors="replace").replace("\r\n", "\n")
    else:
        process.kill()
    code = process.wait()
    os.close(terminal)
    assert not answers, f"never asked {answers[0][0]!r}; wrote:\n{written}"
    return written, code
