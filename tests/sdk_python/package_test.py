#!/usr/bin/python3
"""The package, installed from its folder by pip as somebody else would, without the network: it is whole, and leaves the folder as it was."""

import os
import subprocess
import sys
import tempfile
import unittest

import support


class PackageTest(unittest.TestCase):
    def test_pip_installs_it_from_its_folder(self):
        with tempfile.TemporaryDirectory(prefix="assent-python-pip-") as folder:
            # Of the repository what the page asks for; building leaves things beside it that are not for the sources.
            clone, target = os.path.join(folder, "clone"), os.path.join(folder, "installed")
            os.makedirs(os.path.join(clone, "participant-sdk"))
            for part in ("proto", os.path.join("participant-sdk", "python")):
                subprocess.run(["cp", "-r", os.path.join(support.ROOT, part), os.path.join(clone, part)], check=True)
            done = subprocess.run(
                [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-build-isolation", "--target", target,
                 os.path.join(clone, "participant-sdk", "python")],
                capture_output=True, text=True, env={"PATH": os.environ["PATH"], "HOME": folder}, check=False)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            shown = subprocess.run(
                [sys.executable, "-B", "-c", "import assent, assent.aio, assent.testkit, assent.v1.types_pb2; print(assent.__file__, assent.__version__)"],
                capture_output=True, text=True, cwd=folder, env={"PATH": os.environ["PATH"], "PYTHONPATH": target}, check=True)
            self.assertEqual(shown.stdout.split(), [os.path.join(target, "assent", "__init__.py"), "0.1.0"])
            self.assertTrue(os.path.exists(os.path.join(target, "assent", "py.typed")))


if __name__ == "__main__":
    unittest.main()
