#!/usr/bin/python3
"""The protocol core takes nothing from the operating system.

    check_core_symbols.py ARCHIVE...    reads `nm` of each archive and exits 1 when one leaves a symbol undefined that
                                        rules.py does not allow: a clock, a thread, a socket, a file, randomness

Includes can be checked by reading (check_sources.py); this catches what comes in through somebody else's header.
"""

import re
import subprocess
import sys

import rules


def undefined_symbols(archive):
    """(object, demangled name) of what the linker must find elsewhere."""
    listing = subprocess.run(["nm", "-A", "-u", "-C", archive], check=True, stdout=subprocess.PIPE).stdout.decode()
    for line in listing.splitlines():
        match = re.match(r".*?:([^:]+\.o):\s+[Uwv]\s+(.*)$", line) or re.match(r"(.*?):\s+[Uwv]\s+(.*)$", line)
        if match:
            yield match.group(1), match.group(2)


def is_allowed(symbol):
    plain = symbol.split("@")[0]
    if any(re.search(pattern, plain) for pattern in rules.CORE_FORBIDDEN_PATTERNS):
        return False
    if plain in rules.CORE_ALLOWED_C_SYMBOLS:
        return True
    return any(re.sub(r"^(?:[\w:<>,*& ]+ )?(?=assent::|std::)", "", plain).startswith(prefix)
               for prefix in rules.CORE_ALLOWED_PREFIXES)


def main():
    seen = 0
    faults = set()
    for archive in sys.argv[1:]:
        for member, symbol in undefined_symbols(archive):
            seen += 1
            if not is_allowed(symbol):
                faults.add(f"{member}: {symbol}")
    for fault in sorted(faults):
        print(f"the core may not use {fault}")
    print(f"tidy: {seen} undefined symbols, {len(faults)} faults")
    if seen == 0:
        print("tidy: nothing was looked at")
        return 1
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
