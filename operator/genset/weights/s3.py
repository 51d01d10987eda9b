"""Source `s3` is an object store: the store lists what there is, and signs; the bytes come through our reader.

The listing and the signatures are obstore's, for S3, Google Cloud Storage and Azure alike: they differ by credentials only.
It reads no credentials but the mounted ones, and asks no metadata service of a cloud for any. A signed URL holds for an hour,
so it is made anew for each request.

What is verified: a SHA-256 that the source gives; else the MD5 that an ETag is of an object in one piece; else size and
version alone: every part of a download is of one ETag, and a model's own header says how long it is.
"""

from __future__ import annotations

import configparser
import json
import os
import posixpath
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from genset.api.modeldeployment import Reason
from genset.contracts.puller import FetchSpec
from genset.contracts.shards import Shard, shard_names
from genset.contracts.sources import S3
from genset.weights.choice import Listed, Wish, one_model, whole_folder
from genset.weights.client import get, given_certificates, make_client, tls_context
from genset.weights.failure import WeightsFailure, unreachable
from genset.weights.guard import guard_of
from genset.weights.loopback_proxy import through
from genset.weights.origin import Checksum, Lookup, RemoteFile, Resolved
from genset.weights.proxy import proxy_for
from genset.weights.retry import Transient

LOGIN = (
    "a bucket that is not public needs source.s3.credentialsSecretRef with keys that may list and read it; look at region and "
    "clock, too"
)
_SIGNED_FOR = timedelta(hours=1)
_NOWHERE = "http://127.0.0.1:9"  # what signs asks nobody: a proxy at the discard port (RFC 863), where none is
_ERROR_BYTES = 16 << 10  # of a store's answer that is looked at
_MOST_OBJECTS = 100_000  # behind one prefix
_MD5 = re.compile(r'^"?([0-9a-f]{32})"?$')
_CODE = re.compile(r"<Code>\s*([A-Za-z0-9]+)\s*</Code>")
_CONTENT_RANGE = re.compile(r"^bytes 0-0/(\d+)$")
_KEYS = (
    "aws_access_key_id",
    "aws_secret_access_key",
    "aws_session_token",
    "azure_storage_account_key",
    "azure_storage_sas_token",
)

#: What a store's code means to a person, by the code (Amazon S3 API Reference, Error responses).
_MEANINGS: Mapping[str, tuple[Reason, str]] = {
    "NoSuchBucket": (Reason.SOURCE_NOT_FOUND, "there is no such bucket (source.s3.uri)"),
    "NoSuchKey": (Reason.SOURCE_NOT_FOUND, "there is no such object (source.s3.uri)"),
    "AccessDenied": (Reason.SOURCE_UNAUTHORIZED, f"it refuses access; {LOGIN}"),
    "AllAccessDisabled": (Reason.SOURCE_UNAUTHORIZED, f"it refuses access; {LOGIN}"),
    "InvalidAccessKeyId": (Reason.SOURCE_UNAUTHORIZED, "it does not know the access key of source.s3.credentialsSecretRef"),
    "SignatureDoesNotMatch": (
        Reason.SOURCE_UNAUTHORIZED, "the secret key of source.s3.credentialsSecretRef is not the one of its access key",
    ),
    "ExpiredToken": (Reason.SOURCE_UNAUTHORIZED, "the session of source.s3.credentialsSecretRef has expired: renew it"),
    "InvalidToken": (Reason.SOURCE_UNAUTHORIZED, "the session token of source.s3.credentialsSecretRef is not valid: renew it"),
    "RequestTimeTooSkewed": (Reason.SOURCE_UNAUTHORIZED, "the clock of this node and the store's differ too much: set it"),
    "PermanentRedirect": (Reason.SOURCE_NOT_FOUND, "the bucket is in another region: correct source.s3.region"),
    "AuthorizationHeaderMalformed": (
        Reason.SOURCE_UNAUTHORIZED, "it expects signatures for another region: correct source.s3.region",
    ),
    "AuthorizationQueryParametersError": (
        Reason.SOURCE_UNAUTHORIZED, "it expects signatures for another region: correct source.s3.region",
    ),
    "IllegalLocationConstraintException": (
        Reason.SOURCE_NOT_FOUND, "the bucket is in another region: correct source.s3.region",
    ),
}  # fmt: skip


@dataclass(frozen=True)
class _Object(Listed):
    """This is one object; `name` is its key behind the prefix, `key` the whole one."""

    key: str = ""
    etag: str = ""


def resolve(source: S3, spec: FetchSpec) -> Resolved:
    """Asks the store. Raises WeightsFailure, or Transient for what may pass."""
    store = _Store(source, spec)
    if source.is_object and not spec.whole_folder:
        files = [replace(store.looked_at(key), name=key.rpartition("/")[2]) for key in _shards(store.key)]
    else:
        listed = list(store.listed())
        where = f"{source.uri} at {store.endpoint}"
        if spec.whole_folder:
            files = whole_folder(Wish(where, "source.s3"), listed, source.include, source.exclude)
        else:
            files = one_model(Wish(where, "source.s3.file", source.file), listed)
    return Resolved(tuple(store.remote(file, source, whole=spec.whole_folder) for file in files))


def _shards(key: str) -> list[str]:
    """Returns the keys of all shards of the model that one is of."""
    folder, name = posixpath.split(key)
    named = Shard.of(name)
    return [posixpath.join(folder, one) for one in shard_names(named.stem, named.count)]


class _Store:
    """A store is one bucket at one endpoint, with the credentials for it."""

    def __init__(self, source: S3, spec: FetchSpec) -> None:
        scheme, _, rest = source.uri.partition("://")
        self.bucket, _, key = rest.partition("/")
        self.key = key.strip("/")
        self.uri = source.uri
        self._scheme = scheme
        self._ca_file = spec.ca_file
        self._keys = read_keys(spec.credentials_file, scheme)
        self.endpoint = source.endpoint or (
            "https://storage.googleapis.com"
            if scheme == "gs"
            else f"https://s3.{source.region or 'us-east-1'}.amazonaws.com"
        )
        self._guard = guard_of(spec)
        self._source = source
        tls_context(spec.ca_file)  # says what is wrong with the certificates, if anything is
        with self._told():
            self._signer = self._open(_NOWHERE)

    def listed(self) -> Iterator[_Object]:
        """Yields the objects behind the prefix."""
        import obstore

        before = f"{self.key}/" if self.key else ""
        count = 0
        with self._asked() as store, self._told():
            for batch in obstore.list(store, prefix=self.key or None):
                for item in batch:
                    count += 1
                    if count > _MOST_OBJECTS:
                        raise WeightsFailure(
                            Reason.NOT_A_MODEL,
                            f"{self.uri} has more than {_MOST_OBJECTS} objects: name the model's own prefix",
                        )
                    path = str(item["path"])
                    yield _Object(path.removeprefix(before), int(item["size"]), path, str(item.get("e_tag") or ""))

    def looked_at(self, key: str) -> _Object:
        """Returns one object, asked for by its first byte: who may read it need not be allowed to list the bucket."""
        url, _ = self.signed(key)
        with (
            make_client(self._ca_file, self._guard) as client,
            get(client, url, {}, {"range": "bytes=0-0"}) as response,
        ):
            if response.status_code not in (200, 206):
                body = b""
                for chunk in response.iter_raw():
                    body += chunk
                    if len(body) > _ERROR_BYTES:
                        break
                raise self._refusal(response.status_code, body.decode("utf-8", "replace"), key)
            whole = _CONTENT_RANGE.match(response.headers.get("content-range", ""))
            size = whole[1] if whole else response.headers.get("content-length", "")
            etag = response.headers.get("etag", "")
        return _Object(key, int(size) if size.isdigit() else None, key, etag)

    def remote(self, file: _Object, source: S3, *, whole: bool) -> RemoteFile:
        """Returns an object as the reader takes it."""
        etag = f'"{file.etag.strip(chr(34))}"' if file.etag and not file.etag.startswith("W/") else ""
        md5 = _MD5.match(file.etag) if self._scheme == "s3" else None
        if source.sha256 and not whole:
            checksum = Checksum("sha256", source.sha256)
        elif md5:
            checksum = Checksum("md5", md5[1])
        elif file.etag:
            checksum = Checksum("version", file.etag)
        else:
            raise WeightsFailure(
                Reason.SOURCE_UNREACHABLE,
                f"{self.endpoint} gives no ETag for {file.key}, so no part of it could be held against another: give "
                "source.s3.sha256, or use another store",
            )
        url, _ = self.signed(file.key)
        return RemoteFile(
            url, file.name, checksum, file.size, path=file.name if whole else "", etag=etag,
            renewed=lambda: self.signed(file.key),
        )  # fmt: skip

    def signed(self, key: str) -> tuple[str, Mapping[str, str]]:
        """Returns a URL that lets its bearer read one object for a while, and no header."""
        if not self._keys:
            return f"{self.endpoint}/{self.bucket}/{quote(key)}", {}
        import obstore

        with self._told():
            return str(obstore.sign(self._signer, "GET", key, _SIGNED_FOR)), {}

    @contextmanager
    def _asked(self) -> Iterator[Any]:
        """Gives a store of obstore's that asks the endpoint, and nothing that is off limits."""
        if self._guard is None:
            yield self._open(proxy_for(self.endpoint, os.environ))
            return
        with through(self._guard, os.environ) as proxy:
            try:
                yield self._open(proxy.url)
            except (WeightsFailure, Transient):
                if isinstance(proxy.trouble, WeightsFailure):
                    raise proxy.trouble from None  # obstore knows of a refusal only
                raise

    def _open(self, proxy: str | None) -> Any:
        """Makes obstore's store, which goes through a proxy. Nothing is asked yet."""
        from obstore.store import AzureStore, GCSStore, S3Store

        source = self._source
        options: dict[str, Any] = {
            "allow_http": self.endpoint.startswith("http://"), "user_agent": "genset-weights",
            "timeout": timedelta(seconds=30), "connect_timeout": timedelta(seconds=15),
        }  # fmt: skip
        if certificates := given_certificates(self._ca_file):
            options["root_certificate"] = certificates
        if proxy:
            options["proxy_url"] = proxy
        common: dict[str, Any] = {
            "client_options": options,
            "retry_config": {"max_retries": 0, "retry_timeout": timedelta(seconds=30)},  # we try again ourselves
        }
        if self._scheme == "s3":
            keys: dict[str, Any] = {name.removeprefix("aws_"): value for name, value in self._keys.items()}
            return S3Store(
                self.bucket, endpoint=self.endpoint, region=source.region or "us-east-1", skip_signature=not keys,
                virtual_hosted_style_request=False, **keys, **common,
            )  # fmt: skip
        if self._scheme == "gs":
            account: dict[str, Any] = {"service_account_key": self._keys["json"]} if self._keys else {}
            base: dict[str, Any] = {"config": {"base_url": source.endpoint}} if source.endpoint else {}
            return GCSStore(self.bucket, skip_signature=not self._keys, **account, **base, **common)
        name = (urlsplit(self.endpoint).hostname or "").partition(".")[0]
        named = {"azure_storage_account_key": "account_key", "azure_storage_sas_token": "sas_key"}
        given: dict[str, Any] = {named[key]: value for key, value in self._keys.items()}
        return AzureStore(
            self.bucket, account_name=name, endpoint=self.endpoint, skip_signature=not given, **given, **common
        )

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Turns obstore's errors into ours. Its texts hold the store's own answer."""
        from obstore import exceptions

        try:
            yield
        except (exceptions.BaseError, ValueError) as error:
            raise self._failure(error) from error

    def _failure(self, error: Exception) -> WeightsFailure | Transient:
        text = str(error)
        status = re.search(r"\bstatus\D{0,8}([1-5]\d\d)\b", text)
        if _CODE.search(text) or status:
            return self._refusal(int(status[1]) if status else 0, text, "")
        for words, what in _TRANSPORT:
            if any(word in text for word in words):
                return what(f"{self.endpoint}", _gist(text))
        return Transient(unreachable(f"{self.endpoint} can't be asked for {self.uri}: {_gist(text)}"))

    def _refusal(self, status: int, text: str, key: str) -> WeightsFailure | Transient:
        where = f"{self._scheme}://{self.bucket}/{key}" if key else self.uri
        code = _CODE.search(text)
        known = _MEANINGS.get(code[1] if code else "")
        said = f"{where} at {self.endpoint}: " + (f"{code[1]}: " if code else f"it answered {status}: ")
        if known is not None:
            return WeightsFailure(known[0], said + known[1])
        if status in (401, 403):
            return WeightsFailure(Reason.SOURCE_UNAUTHORIZED, f"{said}it refuses access; {LOGIN}")
        if status == 404:
            return WeightsFailure(Reason.SOURCE_NOT_FOUND, f"{said}there is no such bucket or object (source.s3.uri)")
        if status in (301, 307):
            return WeightsFailure(
                Reason.SOURCE_NOT_FOUND, f"{said}the bucket is elsewhere: correct source.s3.region and endpoint"
            )
        if status in (408, 425, 429) or status >= 500 or (code and code[1] == "SlowDown"):
            return Transient(unreachable(f"{said.rstrip(': ')}"))
        return WeightsFailure(
            Reason.SOURCE_UNREACHABLE, f"{said}that is no answer of a store; check source.s3.endpoint"
        )


def _untrusted(where: str, gist: str) -> WeightsFailure:
    return WeightsFailure(
        Reason.SOURCE_UNREACHABLE,
        f"The certificate of {where} is not trusted: {gist}; give the authority that signs it in source.s3.caSecretRef",
    )


def _unknown_host(where: str, gist: str) -> Transient:
    return Transient(unreachable(f"{where} can't be found: no DNS knows its name ({gist}); check source.s3.endpoint"))


_TRANSPORT: tuple[tuple[tuple[str, ...], Callable[[str, str], WeightsFailure | Transient]], ...] = (
    (("certificate", "UnknownIssuer", "CaUsedAsEndEntity"), _untrusted),
    (("dns error", "failed to lookup address"), _unknown_host),
)


def _gist(text: str) -> str:
    """Returns the last cause of an error of obstore's, without the URL that may hold a signature."""
    causes = [part for part in re.split(r" - |\n", text.partition("Debug source")[0]) if part.strip()] or [text]
    return re.sub(r"https?://\S+", "URL", causes[-1])[:300]


def read_keys(path: str, scheme: str) -> Mapping[str, str]:
    """Reads the credentials file that is mounted from the Secret; empty without one: the bucket is read as anybody may.

    Accepted: lines NAME = VALUE, with or without a section, in capitals or not; for gs:// a service account's JSON.
    """
    if not path:
        return {}
    try:
        text = Path(path).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise _no_keys(f"can't be read: {error}") from error
    if scheme == "gs":
        return {"json": text} if _is_service_account(text) else _raise(_no_keys("is no JSON of a service account"))
    parser = configparser.RawConfigParser(strict=False)
    try:
        parser.read_string(text if text.lstrip().startswith("[") else f"[default]\n{text}")
    except configparser.Error:
        raise _no_keys("holds a line that is not NAME = VALUE") from None  # never the line itself: it is a secret
    section = parser["default"] if parser.has_section("default") else parser[next(iter(parser.sections()), "DEFAULT")]
    found = {name: value.strip("\"'") for name, value in section.items() if name in _KEYS and value.strip("\"'")}
    wanted = {name: value for name, value in found.items() if name.startswith("aws_" if scheme == "s3" else "azure_")}
    if scheme == "s3" and not {"aws_access_key_id", "aws_secret_access_key"} <= wanted.keys():
        raise _no_keys("lacks aws_access_key_id or aws_secret_access_key")
    if not wanted:
        raise _no_keys("lacks azure_storage_account_key or azure_storage_sas_token")
    if not all(value.isascii() and value.isprintable() for value in wanted.values()):
        raise _no_keys("holds a value that is no key")
    return wanted


def _is_service_account(text: str) -> bool:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return isinstance(found, dict) and isinstance(found.get("private_key"), str)


def _raise(error: WeightsFailure) -> Mapping[str, str]:
    raise error


def _no_keys(what: str) -> WeightsFailure:
    return WeightsFailure(
        Reason.SOURCE_UNAUTHORIZED,
        f"The Secret of source.s3.credentialsSecretRef {what}; make it from a credentials file, e.g. kubectl create secret "
        "generic NAME --from-file=credentials=$HOME/.aws/credentials",
    )


LOOKUP = Lookup(S3, LOGIN, resolve, lambda source: bool(source.sha256))
