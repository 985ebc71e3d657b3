# SPDX-License-Identifier: Apache-2.0
"""A certificate authority for one run of the tests."""
import datetime
import ipaddress

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec


class Authority:
    def __init__(self, folder, name="Lighterman test authority"):
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o755)
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        self.certificate = folder / "ca.pem"
        built = self._builder(self.name, self.key).add_extension(
            x509.BasicConstraints(ca=True, path_length=0), critical=True).sign(self.key, hashes.SHA256())
        self.certificate.write_bytes(built.public_bytes(serialization.Encoding.PEM))

    def issue(self, name, hosts=("localhost", "127.0.0.1"), days=2, from_days=-3):
        """A certificate for both sides of TLS and its key, as files; made once for each name. It is valid from
        `from_days` to `days` from now."""
        certificate, key = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        if certificate.exists():
            return certificate, key
        private = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        built = self._builder(subject, private, days, from_days).add_extension(
            x509.SubjectAlternativeName([_general_name(host) for host in hosts]), critical=False).sign(
                self.key, hashes.SHA256())
        certificate.write_bytes(built.public_bytes(serialization.Encoding.PEM))
        key.write_bytes(private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                              serialization.NoEncryption()))
        # The tests' users read it; it opens nothing but the tests' own servers, for two days.
        key.chmod(0o644)
        return certificate, key

    def _builder(self, subject, key, days=2, from_days=-3):
        now = datetime.datetime.utcnow()
        return (x509.CertificateBuilder().subject_name(subject).issuer_name(self.name).public_key(key.public_key())
                .serial_number(x509.random_serial_number()).not_valid_before(now + datetime.timedelta(days=from_days))
                .not_valid_after(now + datetime.timedelta(days=days)))


def _general_name(host):
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
