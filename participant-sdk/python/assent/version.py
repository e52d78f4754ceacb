"""What this library calls itself."""

VERSION = "0.1.0"
AGENT = f"assent-python/{VERSION}"
