"""Somebody who issues JWTs, with keys made by the openssl program."""

import base64
import hashlib
import hmac
import json
import os
import subprocess
import time


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def openssl(*arguments, data=b""):
    done = subprocess.run(["openssl", *arguments], input=data, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def raw(der):
    """r and s of a signature in DER, 32 bytes each."""
    def number(at):
        assert der[at] == 2
        return der[at + 2:at + 2 + der[at + 1]], at + 2 + der[at + 1]
    r, at = number(2)
    s, _ = number(at)
    return b"".join(n.lstrip(b"\0").rjust(32, b"\0") for n in (r, s))


class Issuer:
    def __init__(self, folder, kid, algorithm="ES256"):
        self.kid, self.algorithm, self.key = kid, algorithm, os.path.join(folder, kid + ".key")
        kind = {"ES256": ["EC", "-pkeyopt", "ec_paramgen_curve:P-256"], "RS256": ["RSA", "-pkeyopt", "rsa_keygen_bits:2048"]}[algorithm]
        openssl("genpkey", "-algorithm", *kind, "-out", self.key)

    def jwk(self):
        if self.algorithm == "RS256":
            modulus = openssl("rsa", "-in", self.key, "-noout", "-modulus").decode().strip().split("=")[1]
            return {"kty": "RSA", "kid": self.kid, "use": "sig", "alg": "RS256", "n": b64(bytes.fromhex(modulus)), "e": "AQAB"}
        point = openssl("pkey", "-in", self.key, "-pubout", "-outform", "DER")[-64:]
        return {"kty": "EC", "crv": "P-256", "kid": self.kid, "x": b64(point[:32]), "y": b64(point[32:])}

    def pem(self):
        return openssl("pkey", "-in", self.key, "-pubout")

    def sign(self, text):
        signature = openssl("dgst", "-sha256", "-sign", self.key, data=text)
        return raw(signature) if self.algorithm == "ES256" else signature

    def jwt(self, sub, secret=None, header=None, **claims):
        """`secret`: signed with it, as HS256 is. A claim that is None is left out."""
        now = int(time.time())
        head = {"alg": self.algorithm, "typ": "JWT", "kid": self.kid, **(header or {})}
        said = {"iss": "https://issuer", "aud": "assent", "sub": sub, "exp": now + 3600, "iat": now, **claims}
        said = {k: v for k, v in said.items() if v is not None}
        text = f"{b64(json.dumps(head).encode())}.{b64(json.dumps(said).encode())}"
        if head["alg"].lower() == "none":
            return text + "."
        signature = hmac.new(secret, text.encode(), hashlib.sha256).digest() if secret else self.sign(text.encode())
        return f"{text}.{b64(signature)}"


def jwks(*issuers):
    return json.dumps({"keys": [issuer.jwk() for issuer in issuers]})
