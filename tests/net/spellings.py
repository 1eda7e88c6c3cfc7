"""Ways to write addresses that URLs from outside must not reach."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

INSIDE_4 = [
    "127.0.0.1",
    "127.1.2.3",
    "127.255.255.254",
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "10.255.255.255",
    "100.64.0.1",
    "100.100.100.200",
    "100.127.255.255",
    "168.63.129.16",
    "169.254.169.254",
    "169.254.170.2",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.0.1",
    "192.168.255.255",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
]
INSIDE_6 = [
    "::",
    "::1",
    "::2",
    "100::1",
    "2001::1",
    "2001:2::1",
    "2001:10::1",
    "2001:20::1",
    "2001:db8::1",
    "2002::1",
    "3fff::1",
    "4000::1",
    "5f00::1",
    "64:ff9b:1::1",
    "fc00::1",
    "fd00:ec2::254",
    "fd12:3456::1",
    "fe80::1",
    "fe80::5efe:7f00:1",
    "2606:4700::5efe:7f00:1",
    "2606:4700::200:5efe:7f00:1",
    "febf::1",
    "fec0::1",
    "ff01::1",
    "ff02::1",
    "ff0e::1",
]
# Read differently by different programs, or not meant for the web at all.
ODD_URLS = [
    "http://evil@127.0.0.1:{port}/",
    "http://evil:word@127.0.0.1:{port}/",
    "http://unknown.test@127.0.0.1:{port}/",
    "http://127.0.0.1:{port}@unknown.test/",
    "http://127.0.0.1:{port}\\@unknown.test/",
    "http://unknown.test\\@127.0.0.1:{port}/",
    "http://unknown.test @127.0.0.1:{port}/",
    "http://unknown.test#@127.0.0.1:{port}/",
    "http://unknown.test?@127.0.0.1:{port}/",
    "http://127.0.0.1\t:{port}/",
    "http://127.0\n.0.1:{port}/",
    "http://127.0.0.1\r\n:{port}/",
    "ht\ntp://127.0.0.1:{port}/",
    "\thttp://127.0.0.1:{port}/",
    " http://127.0.0.1:{port}/",
    "http:// 127.0.0.1:{port}/",
    "http://\x00127.0.0.1:{port}/",
    "http://127.0.0.1\x00.example.com:{port}/",
    "http://127.0.0.1%00.example.com:{port}/",
    "http://127.0.0.1%2f@unknown.test:{port}/",
    "http:///127.0.0.1:{port}/",
    "http:////127.0.0.1:{port}/",
    "http:127.0.0.1:{port}/",
    "http:/127.0.0.1:{port}/",
    "http:\\\\127.0.0.1:{port}\\",
    "//127.0.0.1:{port}/",
    "127.0.0.1:{port}/",
    "http://[127.0.0.1]:{port}/",
    "http://[::1%25lo]:{port}/",
    "http://[::1%lo]:{port}/",
    "http://[::1]x:{port}/",
    "http://[::1:{port}/",
    "http://::1:{port}/",
    "http://[v1.x]:{port}/",
    "http://127.0.0.1:+{port}/",
    "http://127.0.0.1:{port}:80/",
    "http://127.0.0.1:/../:{port}/",
    "http://localhost..:{port}/",
    "http://.localhost:{port}/",
    "http://\u200blocal\u200bhost:{port}/",
    "http://local\u00adhost:{port}/",
    "http://\uff4c\uff4f\uff43\uff41\uff4c\uff48\uff4f\uff53\uff54:{port}/",
    "http://LOCALHOST:{port}/",
    "http://localhost.:{port}/",
    "http://" + "a" * 64 + ".test:{port}/",
    "http://" + "a." * 130 + "test:{port}/",
    "http://-:{port}/",
    "http://\ud800:{port}/",
    "http://:{port}/",
    "http://",
    "http:",
    "",
    "file:///etc/passwd",
    "file://127.0.0.1:{port}/etc/passwd",
    "ftp://127.0.0.1:{port}/",
    "gopher://127.0.0.1:{port}/_GET",
    "dict://127.0.0.1:{port}/info",
    "jar:http://127.0.0.1:{port}!/",
    "blob:http://127.0.0.1:{port}/x",
    "data:image/png;base64,aGk=",
    "javascript:alert(1)",
    "ws://127.0.0.1:{port}/",
    "view-source:http://127.0.0.1:{port}/",
    "https+unix://127.0.0.1:{port}/",
    "http+unix://%2Fvar%2Frun%2Fdocker.sock/info",
]

_FULL_WIDTH = str.maketrans("0123456789.", "".join(map(chr, range(0xFF10, 0xFF1A))) + "\uff0e")
_CIRCLED = str.maketrans("0123456789", "\u24ea" + "".join(map(chr, range(0x2460, 0x2469))))
_MATHEMATICAL = str.maketrans("0123456789", "".join(map(chr, range(0x1D7CE, 0x1D7D8))))


def spellings_4(address: str) -> Iterator[str]:
    """Hosts that some program somewhere reads as this IPv4 address."""
    number = int(ipaddress.IPv4Address(address))
    a, b, c, d = parts = [number >> shift & 255 for shift in (24, 16, 8, 0)]
    yield address
    yield f"{address}."
    yield f"{number}"
    yield f"{number + 2**32}"
    yield f"0x{number:x}"
    yield f"0X{number:08X}"
    yield f"0{number:o}"
    yield f"000{number:o}"
    yield ".".join(f"0x{part:x}" for part in parts)
    yield ".".join(f"0{part:o}" for part in parts)
    yield ".".join(f"000{part:o}" for part in parts)
    yield f"0x{a:x}.{b}.0{c:o}.{d}"
    yield f"{a}.{b}.{c << 8 | d}"
    yield f"{a}.{b << 16 | c << 8 | d}"
    yield f"0x{a:x}.0{b << 16 | c << 8 | d:o}"
    yield address.translate(_FULL_WIDTH)
    yield address.translate(_CIRCLED)
    yield address.translate(_MATHEMATICAL)
    yield address.replace(".", "\u3002")
    yield address.replace(".", "\uff61")
    yield "".join(f"%{ord(sign):02x}" for sign in address)
    high, low = number >> 16, number & 0xFFFF
    yield f"[::ffff:{address}]"
    yield f"[::ffff:{high:x}:{low:x}]"
    yield f"[0:0:0:0:0:FFFF:{high:04X}:{low:04X}]"
    yield f"[::{address}]"
    yield f"[::ffff:0:{address}]"
    yield f"[64:ff9b::{address}]"
    yield f"[64:ff9b:1::{high:x}:{low:x}]"
    yield f"[2002:{high:x}:{low:x}::1]"
    yield f"[2001:0:{high:x}:{low:x}::1]"


def hosts_inside() -> list[str]:
    spelled = [spelling for address in INSIDE_4 for spelling in spellings_4(address)]
    full = [f"[{ipaddress.IPv6Address(address).exploded}]" for address in INSIDE_6]
    return [*spelled, *(f"[{address}]" for address in INSIDE_6), *full]


def urls_inside(port: int) -> list[str]:
    """All of them as URLs to `port`, where the URL has one."""
    return [f"http://{host}:{port}/x" for host in hosts_inside()] + [
        url.format(port=port) for url in ODD_URLS
    ]
