#!/usr/bin/python3
"""The Debian packages of a build: what is in them, what they want, and what lintian and systemd think of them.

packages_test.py BUILD_DIR SOURCE_DIR [FOLDER WITH PACKAGES]
"""

import glob
import gzip
import os
import re
import subprocess
import sys
import tempfile
import unittest

BUILD, SOURCE = sys.argv[1:3]
GIVEN = sys.argv[3] if len(sys.argv) > 3 else None
# Of 10; what systemd-analyze calls OK ends at 5, what it does not begin to doubt at 2.
MAX_EXPOSURE = 1.5


def run(*command, **more):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, **more)
    return done.returncode, done.stdout


class Packages(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="assent-packages-")
        cls.addClassCleanup(folder.cleanup)
        where = GIVEN
        if where is None:
            where = os.path.join(folder.name, "made")
            code, said = run("cpack", "--config", os.path.join(BUILD, "CPackConfig.cmake"), "-B", where)
            assert code == 0, said
        cls.debs = sorted(glob.glob(os.path.join(where, "*.deb")))
        cls.root = os.path.join(folder.name, "root")
        cls.fields, cls.files = {}, {}
        for deb in cls.debs:
            _, said = run("dpkg-deb", "-f", deb)
            fields = dict(re.findall(r"^(\S+): (.*)$", said, re.M))
            cls.fields[fields["Package"]] = fields
            code, said = run("dpkg-deb", "-x", deb, cls.root)
            assert code == 0, said
            _, said = run("dpkg-deb", "-c", deb)
            # Mode, owner, and path of each file.
            cls.files[fields["Package"]] = re.findall(r"^([-dl]\S+) (\S+) .*? \./(\S*)", said, re.M)

    def paths(self, package):
        return {path for _, _, path in self.files[package]}

    def test_three_packages_with_what_they_need(self):
        self.assertEqual(["assentctl", "assentd", "libassent-dev"], sorted(self.fields))
        for name, needs in (("assentd", ["libc6", "libgrpc++1", "libpq5", "libsqlite3-0", "libjemalloc2", "systemd"]),
                            ("assentctl", ["libc6", "libgrpc++1"]), ("libassent-dev", ["libgrpc++-dev", "libpq-dev", "libsqlite3-dev"])):
            for need in needs:
                self.assertIn(need, self.fields[name]["Depends"])
            self.assertLess(0, int(self.fields[name]["Installed-Size"]))
        versions = {fields["Version"] for fields in self.fields.values()}
        self.assertEqual(1, len(versions), versions)

    def test_the_maintainer_is_who_built_them(self):
        """Named as to Debian's own tools, in the field and in the changelog; nobody's name is made up."""
        with tempfile.NamedTemporaryFile("w", suffix=".cmake") as script:
            script.write(f'include("{SOURCE}/tools/packaging/contact.cmake")\nmessage(STATUS "${{CPACK_PACKAGE_CONTACT}}")\n')
            script.flush()
            code, said = run("cmake", "-P", script.name, env={**os.environ, "DEBFULLNAME": "Ada Builder", "DEBEMAIL": "ada@example.org"})
        self.assertEqual((0, "-- Ada Builder <ada@example.org>\n"), (code, said))
        for name, fields in self.fields.items():
            nobody = "Whoever built this package <no-published-address@assent.invalid>"
            self.assertIn(fields["Maintainer"], (nobody, f"{os.environ.get('DEBFULLNAME')} <{os.environ.get('DEBEMAIL')}>"))
            with gzip.open(os.path.join(self.root, f"usr/share/doc/{name}/changelog.Debian.gz"), "rt", encoding="utf-8") as file:
                self.assertIn(f"\n -- {fields['Maintainer']}  ", file.read())

    def test_contents(self):
        for name, expected in {
                "assentd": ["usr/bin/assentd", "etc/assent/assentd.toml", "usr/lib/systemd/system/assentd.service",
                            "usr/lib/sysusers.d/assentd.conf", "usr/share/man/man8/assentd.8.gz"],
                "assentctl": ["usr/bin/assentctl", "usr/share/man/man1/assentctl.1.gz",
                              "usr/share/bash-completion/completions/assentctl", "usr/share/zsh/vendor-completions/_assentctl",
                              "usr/share/fish/vendor_completions.d/assentctl.fish"],
                "libassent-dev": ["usr/include/assent/client.h", "usr/lib/libassent_sdk.a", "usr/lib/cmake/assent/assent-config.cmake",
                                  "usr/lib/pkgconfig/assent.pc", "usr/share/assent/proto/assent/v1/participant.proto"]}.items():
            for path in expected + [f"usr/share/doc/{name}/copyright", f"usr/share/doc/{name}/changelog.Debian.gz"]:
                self.assertIn(path, self.paths(name))
            for mode, owner, path in self.files[name]:
                self.assertEqual("root/root", owner, path)
                self.assertNotIn("w", mode[4:], path)
        self.assertEqual(set(), {p for p in self.paths("assentd") & self.paths("assentctl") if not p.endswith("/")})

    def test_settings(self):
        """The installed file of settings is sound, is a conffile, and says where the unit lets the log be."""
        path = os.path.join(self.root, "etc/assent/assentd.toml")
        self.assertEqual((0, "settings are sound\n"),
                         run(os.path.join(BUILD, "bin/assentd"), "--config", path, "--check-config", env={}))
        with open(path, encoding="utf-8") as file:
            self.assertEqual(['data = "/var/lib/assent"'], re.findall(r"^[^#\n].*", file.read(), re.M))
        deb = next(deb for deb in self.debs if "assentd_" in deb)
        self.assertEqual((0, "/etc/assent/assentd.toml\n"), run("dpkg-deb", "-I", deb, "conffiles"))

    def test_maintainer_scripts_are_sound(self):
        for path in glob.glob(os.path.join(SOURCE, "tools/packaging/assentd/p*")):
            self.assertEqual((0, ""), run("sh", "-n", path), path)

    def test_user(self):
        code, said = run("systemd-sysusers", f"--root={self.root}", "assentd.conf")
        self.assertEqual(0, code, said)
        with open(os.path.join(self.root, "etc/passwd"), encoding="utf-8") as file:
            self.assertRegex(file.read(), r"(?m)^assent:.*:/var/lib/assent:\S*nologin$")

    def test_unit(self):
        unit = os.path.join(self.root, "usr/lib/systemd/system/assentd.service")
        with open(unit, encoding="utf-8") as file:
            text = file.read()
        # The program is not installed here, nor are its pages.
        there = os.path.join(self.root, "assentd.service")
        with open(there, "w", encoding="utf-8") as file:
            file.write(text.replace("/usr/bin/assentd", os.path.join(self.root, "usr/bin/assentd")))
        self.assertEqual((0, ""), run("systemd-analyze", "verify", "--man=no", there))
        code, said = run("systemd-analyze", "security", "--offline=true", "--no-pager", f"--threshold={int(MAX_EXPOSURE * 10)}", there)
        exposure = re.search(r"Overall exposure level for \S+: ([\d.]+)", said)
        self.assertIsNotNone(exposure, said)
        print("exposure", exposure[1], file=sys.stderr)
        self.assertEqual(0, code, said)

    def test_unit_bounds_the_memory_and_comes_again(self):
        with open(os.path.join(SOURCE, "tools/packaging/assentd/assentd.service"), encoding="utf-8") as file:
            unit = file.read()
        self.assertRegex(unit, r"(?m)^MemoryMax=\d+%$")
        self.assertRegex(unit, r"(?m)^Restart=on-failure$")  # which being killed for want of memory is

    def test_unit_gives_a_stop_the_time_that_it_may_take(self):
        with open(os.path.join(SOURCE, "tools/packaging/assentd/assentd.service"), encoding="utf-8") as file:
            seconds = int(re.search(r"^TimeoutStopSec=(\d+)$", file.read(), re.M)[1])
        _, shown = run(os.path.join(BUILD, "bin/assentd"), "--show-config", env={})
        drain = int(re.search(r'^drain-seconds = "(\d+)"', shown, re.M)[1])
        self.assertLessEqual(drain + 20, seconds)

    def test_lintian(self):
        exceptions = os.path.join(SOURCE, "tools/packaging/lintian-exceptions")
        code, said = run("lintian", "--allow-root", "--fail-on=error,warning", f"--suppress-tags-from-file={exceptions}", *self.debs)
        self.assertEqual((0, ""), (code, said))


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
