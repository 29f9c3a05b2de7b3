"""TLS contexts from texts: authorities, and the certificate of a client.

A run can read few files and write none, but Python loads the certificate of a client from a file
only.  So this module gives it to OpenSSL in memory, through the functions that Python's own `ssl`
module has loaded.
"""

from __future__ import annotations

import ctypes
import functools
import ssl
import sys
from typing import Any

from .credentials import Tls
from .errors import RequestError

_CTRL_CHAIN_CERT = 89
"""SSL_CTRL_CHAIN_CERT; with a second argument of 1 OpenSSL counts its own reference."""


def make_context(tls: Tls) -> ssl.SSLContext:
    """Return a context that verifies servers by the authorities of the machine and of *tls*.

    Raises:
        RequestError: A text is not PEM, or the key does not belong to the certificate.

    """
    context = ssl.create_default_context()
    paths = ssl.get_default_verify_paths()
    if paths.cafile is None and paths.capath is None:  # a small container has no authorities
        import certifi

        context.load_verify_locations(certifi.where())
    if tls.authorities is not None:
        try:
            context.load_verify_locations(cadata=tls.authorities)
        except (ValueError, TypeError, ssl.SSLError):
            raise RequestError(
                "ca_certificate (or tls.ca) in the configuration is not the text of a PEM file with"
                " certificates"
            ) from None
    if tls.certificate is not None:
        key = tls.key if tls.key is not None else tls.certificate
        _use_certificate(context, tls.certificate, key, tls.passphrase or "")
    return context


def make_powerless_context() -> ssl.SSLContext:
    """Return a context that trusts nobody, for connections without TLS."""
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


@functools.cache
def _openssl() -> ctypes.CDLL:
    """Return the functions of the OpenSSL that the `ssl` module uses."""
    import _ssl

    library = ctypes.CDLL(getattr(_ssl, "__file__", None))
    pointer, number, text = ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p
    for name, result, arguments in (
        ("BIO_new_mem_buf", pointer, (text, number)),
        ("BIO_free", number, (pointer,)),
        ("PEM_read_bio_X509", pointer, (pointer, pointer, pointer, text)),
        ("PEM_read_bio_PrivateKey", pointer, (pointer, pointer, pointer, text)),
        ("SSL_CTX_get_options", ctypes.c_uint64, (pointer,)),
        ("SSL_CTX_use_certificate", number, (pointer, pointer)),
        ("SSL_CTX_use_PrivateKey", number, (pointer, pointer)),
        ("SSL_CTX_check_private_key", number, (pointer,)),
        ("SSL_CTX_ctrl", ctypes.c_long, (pointer, number, ctypes.c_long, pointer)),
        ("X509_free", None, (pointer,)),
        ("EVP_PKEY_free", None, (pointer,)),
        ("ERR_clear_error", None, ()),
    ):
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


def _use_certificate(context: ssl.SSLContext, certificate: str, key: str, passphrase: str) -> None:
    """Let *context* show a certificate and its chain.

    Raises:
        RequestError: A text is not PEM, or the key does not belong to the certificate.

    """
    if sys.implementation.name != "cpython":
        raise RequestError("tls.cert works with CPython only")
    try:
        library = _openssl()
    except (OSError, AttributeError):
        raise RequestError("tls.cert does not work with the OpenSSL of this Python") from None
    # The first field of the object of an SSLContext, after the head of every object.
    # Source: PySSLContext in Modules/_ssl.c, unchanged from Python 3.6 to 3.14.
    place = id(context) + object.__basicsize__
    pointer = ctypes.c_void_p.from_address(place).value
    if library.SSL_CTX_get_options(pointer) & 0xFFFFFFFF != context.options & 0xFFFFFFFF:
        raise RequestError("tls.cert does not work with this version of Python")
    try:
        _show(library, pointer, certificate.encode())
        _prove(library, pointer, key.encode(), passphrase.encode())
    finally:
        # An error that stays in the queue would be taken for one of the next call.
        library.ERR_clear_error()


def _show(library: Any, context: int | None, pem: bytes) -> None:
    bio = library.BIO_new_mem_buf(pem, len(pem))
    found = 0
    try:
        # OpenSSL asks on the terminal for a passphrase that is missing, so an empty one is given.
        while certificate := library.PEM_read_bio_X509(bio, None, None, b""):
            try:
                if found == 0:
                    taken = library.SSL_CTX_use_certificate(context, certificate)
                else:
                    taken = library.SSL_CTX_ctrl(context, _CTRL_CHAIN_CERT, 1, certificate)
            finally:
                library.X509_free(certificate)
            if taken != 1:
                raise RequestError("tls.cert has a certificate that OpenSSL does not take")
            found += 1
    finally:
        library.BIO_free(bio)
    if not found:
        raise RequestError("tls.cert is not the text of a PEM file with a certificate")


def _prove(library: Any, context: int | None, pem: bytes, passphrase: bytes) -> None:
    bio = library.BIO_new_mem_buf(pem, len(pem))
    try:
        key = library.PEM_read_bio_PrivateKey(bio, None, None, passphrase)
    finally:
        library.BIO_free(bio)
    if not key:
        raise RequestError(
            "tls.key is not the text of a PEM file with a private key, or tls.passphrase is wrong"
        )
    try:
        taken = library.SSL_CTX_use_PrivateKey(context, key) == 1
    finally:
        library.EVP_PKEY_free(key)
    if not taken or library.SSL_CTX_check_private_key(context) != 1:
        raise RequestError("tls.key does not belong to the certificate in tls.cert")
