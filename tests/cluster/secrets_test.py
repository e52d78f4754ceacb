#!/usr/bin/python3
"""Passwords by libpq's own ways, and TLS to the server: what a coordinator accepts, and that its password is nowhere to be read."""

import os
import shutil
import subprocess
import tempfile
import unittest

import members
import postgresql

SECRET = "xyzzy-plugh"
USAGE, LOG_UNUSABLE = 2, 73  # exit codes


def openssl(*arguments):
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


class Secrets(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="assent-secrets-")
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        cls.authority = cls.make_certificate("authority")
        cls.stranger = cls.make_certificate("stranger")
        cls.vault = cls.make_certificate("vault")  # its own CA too, which the server is told of
        cls.server = postgresql.Server()
        cls.addClassCleanup(cls.server.close)
        cls.server.start()
        cls.server.sql("postgres", f"CREATE ROLE books LOGIN PASSWORD '{SECRET}'")
        cls.database = cls.server.new_database()
        cls.server.sql("postgres", f"ALTER DATABASE {cls.database} OWNER TO books")
        cls.server.sql("postgres", "CREATE ROLE vault LOGIN")
        # By TCP with TLS and the password, or a certificate; or not at all.
        data = cls.server.data
        for end in ("crt", "key"):
            shutil.copy(os.path.join(cls.folder, "authority." + end), os.path.join(data, "server." + end))
            os.chmod(os.path.join(data, "server." + end), 0o600)
            if os.geteuid() == 0:
                shutil.chown(os.path.join(data, "server." + end), "postgres", "postgres")
        with open(data + "/pg_hba.conf", "w", encoding="utf-8") as rules:
            rules.write("local all all trust\nhostssl all books 127.0.0.1/32 scram-sha-256\nhostssl all vault 127.0.0.1/32 cert\n")
        clients = os.path.join(data, "clients.crt")
        shutil.copy(cls.vault, clients)
        os.chmod(clients, 0o644)
        cls.server.sql("postgres", f"ALTER SYSTEM SET ssl_ca_file = '{clients}'")
        cls.server.sql("postgres", "ALTER SYSTEM SET ssl = on")
        cls.server.sql("postgres", "SELECT pg_reload_conf()")
        cls.place = f"127.0.0.1:{cls.server.port}"
        cls.pass_file = cls.write("pgpass", f"127.0.0.1:{cls.server.port}:*:books:{SECRET}\n")
        cls.service_file = cls.write("services", f"[ledger]\nhost=127.0.0.1\nport={cls.server.port}\ndbname={cls.database}\n"
                                     f"user=books\npassword={SECRET}\nsslmode=verify-full\nsslrootcert={cls.authority}\n")

    @classmethod
    def make_certificate(cls, name):
        """Signs itself, for 127.0.0.1: authority and server in one."""
        path = os.path.join(cls.folder, name)
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj",
                "/CN=" + name, "-addext", "subjectAltName=IP:127.0.0.1,IP:0.0.0.0", "-keyout", path + ".key", "-out", path + ".crt")
        return path + ".crt"

    @classmethod
    def write(cls, name, text):
        path = os.path.join(cls.folder, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(path, 0o600)
        return path

    def member(self, url, **environment):
        member = members.Member("node", url, environment={"PATH": os.environ["PATH"], "HOME": self.folder, **environment})
        self.addCleanup(member.close)
        return member

    def url(self, root, user="books"):
        return f"postgresql://{user}@{self.place}/{self.database}?sslmode=verify-full&sslrootcert={root}"

    def serves_in_secret(self, member, role="books"):
        member.start()
        ctl = members.Ctl(member.endpoint)
        said = [ctl(*words) for words in (("cluster", "status"), ("cluster", "status", "-o", "json"), ("health",),
                                          ("health", "-o", "json"), ("participants", "-o", "json"))]
        self.assertEqual([0] * len(said), [answer.code for answer in said], said)
        with open(f"/proc/{member.process.pid}/cmdline", encoding="utf-8") as shown:
            arguments = shown.read()
        # All its connections are behind TLS, and it has several.
        tls = self.server.sql("postgres", "SELECT bool_and(s.ssl), count(*) > 1 FROM pg_stat_ssl s JOIN pg_stat_activity a "
                              f"USING (pid) WHERE a.usename = '{role}'")
        self.assertEqual("t|t", tls)
        self.assertEqual(0, member.terminate(), member.words())
        for text in [member.card, member.words(), arguments, *(answer.out + answer.err for answer in said)]:
            self.assertNotIn(SECRET, text)

    def refused(self, status, member, *words):
        with self.assertRaises(RuntimeError) as given_up:
            member.start()
        self.assertEqual(status, member.process.wait(), member.words())
        for word in words:
            self.assertIn(word, str(given_up.exception))
        self.assertNotIn(SECRET, str(given_up.exception))

    def test_a_password_file(self):
        self.serves_in_secret(self.member(self.url(self.authority), PGPASSFILE=self.pass_file))

    def test_a_service_file(self):
        self.serves_in_secret(self.member("postgresql:///?service=ledger", PGSERVICEFILE=self.service_file))

    def of_client(self, name, user="vault"):
        path = os.path.join(self.folder, name)
        os.chmod(path + ".key", 0o600)
        return self.url(self.authority, user) + f"&sslcert={path}.crt&sslkey={path}.key"

    def test_a_certificate_in_place_of_a_password(self):
        database = self.server.new_database()
        self.server.sql("postgres", f"ALTER DATABASE {database} OWNER TO vault")
        self.serves_in_secret(self.member(self.of_client("vault").replace(f"/{self.database}?", f"/{database}?")), "vault")
        # Signed by nobody that the server knows; none at all; and one that is somebody else's.
        self.refused(LOG_UNUSABLE, self.member(self.of_client("stranger")), "certificate")
        self.refused(LOG_UNUSABLE, self.member(self.url(self.authority, "vault")), "certificate")
        self.refused(LOG_UNUSABLE, self.member(self.of_client("vault", "books")), "password")

    def test_a_database_elsewhere_is_reached_with_verified_tls_or_it_is_said(self):
        # This machine by an address that is not known to be its own.
        anywhere = self.write("pgpass-anywhere", f"*:*:*:books:{SECRET}\n")
        service = self.write("elsewhere", f"[ledger]\nhost=0.0.0.0\nport={self.server.port}\ndbname={self.database}\nuser=books\nsslmode=require\n")
        said = "event=log_exposed host=0.0.0.0 sslmode="
        for url, more, words in ((self.url(self.authority).replace("127.0.0.1", "0.0.0.0").replace("verify-full", "require"), {}, said + "require"),
                                 (self.url(self.authority).replace("127.0.0.1", "0.0.0.0").replace("verify-full", "verify-ca"), {}, said + "verify-ca"),
                                 ("postgresql:///?service=ledger", {"PGSERVICEFILE": service}, said + "require"),
                                 (f"postgresql://books@0.0.0.0:{self.server.port}/{self.database}", {"PGSSLMODE": "require"}, said + "require"),
                                 (self.url(self.authority).replace("127.0.0.1", "0.0.0.0"), {}, None),
                                 (self.url(self.authority).replace("verify-full", "require"), {}, None)):
            member = self.member(url, PGPASSFILE=anywhere, **more)
            member.start()
            self.assertEqual(0, member.terminate(), member.words())
            self.assertEqual(words is not None, "event=log_exposed" in member.words(), member.words())
            self.assertIn(words or "", member.words())

    def test_a_certificate_that_nobody_vouches_for(self):
        self.refused(LOG_UNUSABLE, self.member(self.url(self.stranger), PGPASSFILE=self.pass_file), "certificate verify failed",
                     "sslrootcert")
        self.refused(LOG_UNUSABLE, self.member(self.url("/nowhere"), PGPASSFILE=self.pass_file), "/nowhere", "sslrootcert")

    def test_a_server_without_tls(self):
        with postgresql.Server() as plain:
            url = plain.url(plain.new_database()) + "?sslmode=require"
            self.refused(LOG_UNUSABLE, self.member(url), "does not support SSL", "sslmode")

    def test_a_server_that_wants_tls(self):
        plain = f"postgresql://books@{self.place}/{self.database}?sslmode=disable"
        self.refused(LOG_UNUSABLE, self.member(plain, PGPASSFILE=self.pass_file), "no encryption")

    def test_a_password_on_the_command_line(self):
        self.refused(USAGE, self.member(f"postgresql://books:{SECRET}@{self.place}/{self.database}"), "PGPASSFILE")


if __name__ == "__main__":
    unittest.main(verbosity=2)
