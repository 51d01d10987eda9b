"""Certificates that Kubernetes' components accept from each other."""

from __future__ import annotations

import datetime as dt
import stat
from pathlib import Path

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from testbed.cluster.pki import Authority, write_kubeconfig

NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "pki", NOW)


def load(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def test_a_client_is_known_by_its_name_and_group(authority: Authority) -> None:
    certificate = load(authority.issue("kubelet", "system:node:a", "system:nodes").certificate)
    subject = {attribute.oid: attribute.value for attribute in certificate.subject}
    assert subject == {NameOID.COMMON_NAME: "system:node:a", NameOID.ORGANIZATION_NAME: "system:nodes"}
    usages = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usages) == [ExtendedKeyUsageOID.CLIENT_AUTH]


def test_a_server_is_known_by_names_and_addresses(authority: Authority) -> None:
    certificate = load(
        authority.issue("apiserver", "kube-apiserver", hosts=["kubernetes.default", "10.96.0.1"]).certificate
    )
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["kubernetes.default"]
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == ["10.96.0.1"]
    usages = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert ExtendedKeyUsageOID.SERVER_AUTH in usages


def test_everything_is_signed_by_the_one_authority_and_valid_now(authority: Authority) -> None:
    ca = load(authority.ca.certificate)
    key = ca.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    certificate = load(authority.issue("admin", "admin", "system:masters").certificate)
    key.verify(certificate.signature, certificate.tbs_certificate_bytes, ec.ECDSA(hashes.SHA256()))
    assert certificate.issuer == ca.subject
    assert certificate.not_valid_before_utc < NOW < certificate.not_valid_after_utc


def test_a_second_authority_of_the_folder_goes_on_with_the_first_ones_keys(authority: Authority) -> None:
    issued = authority.issue("admin", "admin")
    before = (authority.ca.certificate.read_bytes(), issued.certificate.read_bytes())
    again = Authority(authority.folder, NOW)
    assert (again.ca.certificate.read_bytes(), again.issue("admin", "admin").certificate.read_bytes()) == before
    assert again.service_account_key()[1].read_bytes() == authority.service_account_key()[1].read_bytes()


def test_secrets_are_their_owners_alone(authority: Authority, tmp_path: Path) -> None:
    pair = authority.issue("admin", "admin")
    config = write_kubeconfig(tmp_path / "kubeconfig", "https://127.0.0.1:1", authority.ca.certificate, "admin", pair)
    private, _ = authority.service_account_key()
    for path in (config, pair.key, authority.ca.key, private):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    content = yaml.safe_load(config.read_text())
    assert content["current-context"] == "genset-e2e"
    assert content["clusters"][0]["cluster"]["server"] == "https://127.0.0.1:1"
