"""Texts in several languages, each with what stands in them: numbers from the registries' own examples and providers' test pages.

IBANs: SWIFT, IBAN Registry. Cards: the test numbers of payment providers. Tax and national numbers: the documentation of
python-stdnum and of the authorities. Telephone numbers: of parliaments, ministries and exchanges.
"""

from __future__ import annotations

from typing import Final


def _words(text: str) -> list[str]:
    return text.split()


_IBANS = _words("""
DE89370400440532013000 AT611904300234573201 CH9300762011623852957 FR1420041010050500013M02606 GB29NWBK60161331926819
IT60X0542811101000000123456 ES9121000418450200051332 NL91ABNA0417164300 BE68539007547034 PL61109010140000071219812874
PT50000201231234567890154 SE4550000000058398257466 DK5000400440116243 NO9386011117947 FI2112345600000785
IE29AIBK93115212345678 LU280019400644750000 CZ6508000000192000145399 SK3112000000198742637541
HU42117730161111101800000000 RO49AAAA1B31007593840000 GR1601101250000000012300695 HR1210010051863000160
SI56263300012039086 EE382200221020145685 LV80BANK0000435195001 LT121000011101001000 TR330006100519786457841326
MT84MALT011000012345MTLCAST001S CY17002001280000001200527600 BG80BNBG96611020345678 LI21088100002324013AA
""")
_CARDS = _words("""
4111111111111111 4012888888881881 4242424242424242 5555555555554444 5105105105105100 2223003122003222 378282246310005
371449635398431 30569309025904 38520000023237 6011111111111117 6011000990139424 3530111333300000 3566002020360505
4222222222222 6200000000000005
""")
_MAILS = _words("""
jan.kowalski@firma.de anna-maria.o'neil@mail.corp.co.uk x@y.io pierre_dupont+achats@entreprise.fr
INFO@KANZLEI-MUELLER.AT müller@bücher.de 1234@studenti.unibo.it sales@sub.domain.museum
""")
_PHONES = (
    "+49 30 2270", "+49 (0)30 227-32251", "+49-89-2180-0", "0049 211 884 0", "+33 1 40 63 60 00", "+33 6 12 34 56 78",
    "+44 20 7219 3000", "+44 7911 123456", "+1 202-224-3121", "+1 (212) 963-1234", "+39 06 67601", "+34 91 390 60 00",
    "+31 70 318 2211", "+41 58 322 87 11", "+43 1 40110", "+48 22 694 25 00", "+46 8 786 40 00", "+32 2 549 81 11",
    "+81 3-3581-5111", "+91 11 2303 4000", "+55 61 3216-0000", "+61 2 6277 7111", "+351 21 391 9000", "+420 257 171 111",
    "+353 1 618 3000", "+47 23 31 30 50", "+45 33 37 55 00", "+358 9 4321",
)  # fmt: skip
_TAX_IDS = (
    "DE136695976", "ATU13585627", "IT00743110157", "FR40303265045", "ESB58378431", "NL004495445B01", "BE0403019261",
    "PL8567346215", "DK13585628", "SE123456789701", "FI20774740", "PT501964843", "LU15027442", "CZ25123891", "EL094259216",
    "36 574 261 809", "36574261809", "RCCMNL83S18D969H", "RSSMRA85T10A562S", "54362315K", "X-2482300W", "3023217600053",
    "912-90-3456",
)  # fmt: skip
_NATIONAL = (
    "536-90-4399", "756.9217.0769.85", "7569217076985", "2 95 10 99 126 111 93", "295109912611193", "85.07.30-033.28",
)  # fmt: skip
_KEYS = (
    "-----BEGIN PRIVATE KEY-----", "-----BEGIN RSA PRIVATE KEY-----", "-----BEGIN OPENSSH PRIVATE KEY-----",
    "AKIAIOSFODNN7EXAMPLE", "ghp_16C7e42F292c6912E7710c838347Ae178B4a", "glpat-abcdefghij0123456789",
)  # fmt: skip

_FRAMES = (
    "Bitte überweisen Sie an {} bis Freitag.",
    "Le numéro est : {}.",
    "({})",
    '{{"field": "{}", "n": 1}}',
    "customer,{},2024-01-02",
    "{}",
)


def _framed(kind: str, values: tuple[str, ...] | list[str]) -> list[tuple[str, str]]:
    return [(_FRAMES[number % len(_FRAMES)].format(value), kind) for number, value in enumerate(values)]


#: (text, kind that is in it)
FOUND: Final = [
    *_framed("iban", _IBANS),
    *_framed("iban", [" ".join(value[i : i + 4] for i in range(0, len(value), 4)) for value in _IBANS[:12]]),
    *_framed("creditCard", _CARDS),
    *_framed("creditCard", ["4111 1111 1111 1111", "5555-5555-5555-4444", "3782 822463 10005", "4242 4242 4242 4242 12/27"]),
    *_framed("email", _MAILS),
    *_framed("phone", _PHONES),
    *_framed("taxId", _TAX_IDS),
    *_framed("nationalId", _NATIONAL),
    *_framed("privateKey", _KEYS),
    # written otherwise, to be the same
    ("de89370400440532013000", "iban"),
    ("DE89 3704 0044 0532 0130 00 (BIC COBADEFFXXX)", "iban"),
    ("IBAN DE89\u00a03704\u00a00044\u00a00532\u00a00130\u00a000", "iban"),
    ("DE89\u200b3704\u200b0044\u200b0532\u200b0130\u200b00", "iban"),
    ("DE89-3704-0044-0532-0130-00", "iban"),
    ("DE89 3704 0044 0532\n0130 00", "iban"),
    ('{"iban": "\\u0044E89370400440532013000"}', "iban"),
    ("４１１１ １１１１ １１１１ １１１１", "creditCard"),
    ("٤١١١١١١١١١١١١١١١", "creditCard"),
    ("4111\u20111111\u20111111\u20111111", "creditCard"),
    ("4111\u00ad1111\u00ad1111\u00ad1111", "creditCard"),
    ("४१११ ११११ ११११ ११११", "creditCard"),
    ("jan.kowalski＠firma.de", "email"),
    ("+４９ ３０ ２２７０", "phone"),
    ("DE89  3704  0044  0532  0130  00", "iban"),
    ("DE89\t3704\t0044\t0532\t0130\t00", "iban"),
    ("DE89.3704.0044.0532.0130.00", "iban"),
    ("de89 3704 0044 0532 0130 00", "iban"),
    ("an fr14 2004 1010 0505 0001 3m02 606.", "iban"),
    ("DE89&nbsp;3704&nbsp;0044&#160;0532&nbsp;0130&nbsp;00", "iban"),
    ('{"to": "DE89 3704 0044\\n0532 0130 00"}', "iban"),
    ("4111  1111  1111  1111", "creditCard"),
    ("4111.1111.1111.1111", "creditCard"),
    ("Nr.4111111111111111", "creditCard"),
    ('{"card": "\\ud835\\udfd2\\ud835\\udfcf11111111111111"}', "creditCard"),
    ('{"text": "{\\\\"card\\\\": \\\\"\\\\uff14111111111111111\\\\"}"}', "creditCard"),
    ("-jan.kowalski@firma.de", "email"),
    ("mailto:jan.kowalski@firma.de", "email"),
    ("https://firma.example/abmelden?wer=jan.kowalski%40firma.de&x=1", "email"),
    ("an=DE89%203704%200044%200532%200130%2000", "iban"),
    ("konto=DE89+3704+0044+0532+0130+00&n=M%C3%BCller", "iban"),
    ("jan.kowalski&#64;firma.de", "email"),
    ("jan.kowalski&#x40;firma.de", "email"),
    ("jan.kowalski&commat;firma.de", "email"),
    ("'jan.kowalski\\x40firma.de'", "email"),
    ("'jan.kowalski\\u{40}firma.de'", "email"),
    ("\u0392G80 BNBG 9661 1020 3456 78", "iban"),  # a Greek beta: as who types on such a keyboard writes it
    ("\u0412G80\u0412N\u0412G96611020345678", "iban"),  # Cyrillic letters
    ("\u2463\u2460\u2460\u2460 1111 1111 1111", "creditCard"),  # digits in circles
    ("4\u20e3111 1111 1111 1111", "creditCard"),
    ("41\u316411 1111 1111 1111", "creditCard"),
]  # fmt: skip

#: Texts in which there is nothing, and which look as if there were.
NOTHING: Final = (
    "", "Guten Tag, wie spät ist es?", "Résumez ce texte en trois phrases.", "Write a haiku about 42 cats.",
    "DE89370400440532013001", "DE00370400440532013000", "GB29NWBK60161331926818", "XX89370400440532013000",
    "FR1420041010050500013M02607", "DE8937040044053201300", "DE893704004405320130001",
    "4111111111111112", "4242 4242 4242 4241", "1234567812345678", "0000 0000 0000 0000", "9999999999999999",
    "378282246310006", "5105-1051-0510-5101",
    "order 123456789", "Bestellnummer 4500012345", "invoice INV-2024-000123", "SKU 978-3-16-148410-0", "ISBN 9783161484100",
    "2024-01-02 12:30:45", "02.01.2024, 12:30 Uhr", "1704196245000", "1704196245", "3.14159265358979", "2.718281828459045",
    "192.168.0.1", "10.0.0.0/8", "fe80::1ff:fe23:4567:890a", "2001:db8::ff00:42:8329", "00:1B:44:11:3A:B7",
    "550e8400-e29b-41d4-a716-446655440000", "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "commit 4d0d413a7a6ebd40de9e6c2d5d6f1b0f8f3d2a19", "v1.2.3-rc.4+build.5", "numpy==1.26.4", "python3.11",
    "1.000.000 EUR", "12,345,678.90", "$1,234.56", "costs 12.50 EUR", "50 % of 1 200 000", "Seite 12 von 345",
    "for i in range(1000000): pass", "0xDEADBEEF", "0b101010", "x = 12345678901", "id=98765432109876",
    "@property", "@media (max-width: 600px)", "user@localhost", "a@b", "jane@example.com", "john@shop.example", "@anna wrote",
    "git@github", "foo@bar..com", "price@12:30",
    "call me at nine", "+1", "+49", "++i", "C++11", "1+1=2", "+12345", "tel. 115", "0800", "112", "+999 123 456 789",
    "1-2-3-4-5-6-7-8-9-10-11-12", "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16", "2023 2022 2021 2020", "10 20 30 40 50 60 70 80",
    "DE136695977", "ATU13585628", "ABCDEF12G34H567I", "54362315A", "X2482300A", "36574261890", "11111111111", "12345678901",
    "000-12-3456", "666-12-3456", "123-45-67890", "756.9217.0769.86", "85.07.30-033.61",
    "-----BEGIN PUBLIC KEY-----", "-----BEGIN CERTIFICATE-----", "AKIA", "ghp_short", "sk-", "ssh-rsa AAAAB3NzaC1yc2E=",
    "IN 2024 THE TOTAL WAS 12 MILLION", "AT 20 DEGREES AND 1013 HPA THE AIR IS 1.2 KG", "NO 12 TICKETS ARE LEFT FOR 2024",
    "BE 10 TIMES AS FAST AS BEFORE IN 2023", "SE 100 PS 2000 CCM 4 ZYLINDER",
    "The quick brown fox jumps over the lazy dog 1234567890 times.", "Zimmer 4711, Haus 12, PLZ 10117", "75001 Paris",
    "SW1A 1AA", "M5V 2T6", "Flug LH 1234", "ICE 1001", "EAN 4006381333931", "GTIN 04006381333931", "VIN WDB1240661A123456",
    "Bach BWV 1046-1051", "RFC 9112", "ISO 13616-1:2020", "AZ 12 C 345/24", "§ 433 Abs. 1 BGB", "Art. 6(1)(f) GDPR",
    "0.4111111111111111", "[0.4242424242424242, 12.36574261809]", "git@github.com:firma/shop.git", "icon@2x.png", "vue@next.js",
    "lat 52.520008, lon 13.404954", "[[1,2,3],[4,5,6]]", '{"a": 1, "b": [2, 3], "ts": 1704196245123}', "1e10 6.022e23",
)  # fmt: skip
