"""Hashes of byte strings that are the same on every machine: FarmHash64 and, with a salt, SipHash-2-4.

Floor 1. Vectorised over strings of one length: all branches of both algorithms depend on the length alone. Words of
64 bits wrap around, which is what the algorithms mean.
"""

import numpy as np

K0, K1, K2 = (np.uint64(n) for n in (0xC3A5C85C97CB3127, 0xB492B66FBE98F273, 0x9AE16A3B2F90404F))
WORD = np.dtype("<u8")


def farmhash(strings):
    """FarmHash64 of each byte string (its "fingerprint", the variant `na`): uint64 (n,). G. Pike, 2014.

    >>> farmhash([b"A", b""]).tolist()
    [16915294056622060564, 11160318154034397263]
    """
    return _by_length(strings, _farm)


def siphash(strings, key):
    """SipHash-2-4 of each byte string under two 64-bit words of `key`: uint64 (n,). Aumasson & Bernstein, 2012.

    >>> siphash([bytes(range(15))], (0x0706050403020100, 0x0F0E0D0C0B0A0908)).tolist() == [0xA129CA6149BE45E5]
    True
    """
    words = [np.uint64(int(part) % 2**64) for part in key]
    return _by_length(strings, lambda rows, size: _sip(rows, size, *words))


def _by_length(strings, hashed):
    """`hashed((n, size) uint8, size)` for the strings of each length."""
    sizes = np.fromiter(map(len, strings), np.int64, len(strings))
    found = np.empty(len(strings), np.uint64)
    with np.errstate(over="ignore"):
        for size in np.unique(sizes):
            places = np.flatnonzero(sizes == size)
            rows = np.frombuffer(b"".join([strings[i] for i in places.tolist()]), np.uint8)
            found[places] = hashed(rows.reshape(len(places), size), int(size))
    return found


def _word(rows, at, size=8):
    """The little-endian number in `size` bytes of every row."""
    return np.ascontiguousarray(rows[:, at : at + size]).view(WORD if size == 8 else "<u4")[:, 0].astype(np.uint64)


def _turned(x, bits, left=False):
    """Bits moved in a circle: to the right, as FarmHash has it, or to the left, as SipHash has."""
    right = np.uint64(64 - bits if left else bits)
    return (x >> right) | (x << (np.uint64(64) - right))


# ---- FarmHash --------------------------------------------------------------------------------------------


def _folded(x):
    return x ^ (x >> np.uint64(47))


def _two(u, v, factor):
    a = _folded((u ^ v) * factor)
    return _folded((v ^ a) * factor) * factor


def _farm(rows, size):
    n = np.uint64(size)
    if size == 0:
        return np.full(len(rows), K2)
    if size <= 3:
        first, middle, last = (rows[:, i].astype(np.uint64) for i in (0, size >> 1, size - 1))
        return _folded((first + (middle << np.uint64(8))) * K2 ^ (n + (last << np.uint64(2))) * K0) * K2
    factor = K2 + n * np.uint64(2)
    if size <= 7:
        return _two(n + (_word(rows, 0, 4) << np.uint64(3)), _word(rows, size - 4, 4), factor)
    if size <= 16:
        a, b = _word(rows, 0) + K2, _word(rows, size - 8)
        return _two(_turned(b, 37) * factor + a, (_turned(a, 25) + b) * factor, factor)
    return _farm_long(rows, size) if size > 64 else _farm_middle(rows, size, factor)


def _farm_middle(rows, size, factor):
    """17 to 64 bytes: the two ends; beyond 32, then what lies between."""
    long = size > 32
    a, b = _word(rows, 0) * (K2 if long else K1), _word(rows, 8)
    c, d = _word(rows, size - 8) * factor, _word(rows, size - 16) * K2
    y, z = _turned(a + b, 43) + _turned(c, 30) + d, a + _turned(b + K2, 18) + c
    if not long:
        return _two(y, z, factor)
    z = _two(y, z, factor)
    e, f = _word(rows, 16) * factor, _word(rows, 24)
    g, h = (y + _word(rows, size - 32)) * factor, (z + _word(rows, size - 24)) * factor
    return _two(_turned(e + f, 43) + _turned(g, 30) + h, e + _turned(f + a, 18) + g, factor)


def _farm_long(rows, size):
    """Blocks of 64 bytes over a state of seven words; the last block ends where the string does."""
    seed = np.uint64(81)
    y = np.full(len(rows), seed * K1 + np.uint64(113))
    z = _folded(y * K2 + np.uint64(113)) * K2
    v, w = (np.zeros_like(y),) * 2, (np.zeros_like(y),) * 2
    x = seed * K2 + _word(rows, 0)
    for at in range(0, (size - 1) // 64 * 64, 64):
        x, y, z, v, w = _block(rows, at, x, y, z, v, w, K1, np.uint64(1))
    factor, rest = K1 + ((z & np.uint64(255)) << np.uint64(1)), np.uint64((size - 1) & 63)
    w = (w[0] + rest, w[1])
    v = (v[0] + w[0], v[1])
    w = (w[0] + v[0], w[1])
    x, y, z, v, w = _block(rows, size - 64, x, y, z, v, w, factor, np.uint64(9))
    return _two(_two(v[0], w[0], factor) + _folded(y) * K0 + z, _two(v[1], w[1], factor) + x, factor)


def _block(rows, at, x, y, z, v, w, factor, weight):
    word = [_word(rows, at + 8 * i) for i in range(8)]
    x = _turned(x + y + v[0] + word[1], 37) * factor
    y = _turned(y + v[1] + word[6], 42) * factor
    x = x ^ (w[1] * weight)
    y = y + v[0] * weight + word[5]
    z = _turned(z + w[0], 33) * factor
    v = _weak(word[:4], v[1] * factor, x + w[0])
    w = _weak(word[4:], z + w[1], y + word[2])
    return z, y, x, v, w


def _weak(word, a, b):
    a = a + word[0]
    b = _turned(b + a + word[3], 21)
    end = a + word[1] + word[2]
    return end + word[3], b + _turned(end, 44) + a


# ---- SipHash ---------------------------------------------------------------------------------------------


def _sip(rows, size, k0, k1):
    state = [
        np.full(len(rows), key ^ np.uint64(mark))
        for key, mark in zip(
            (k0, k1, k0, k1),
            (0x736F6D6570736575, 0x646F72616E646F6D, 0x6C7967656E657261, 0x7465646279746573),
            strict=True,
        )
    ]
    last = np.zeros((len(rows), 8), np.uint8)
    last[:, : size % 8], last[:, 7] = rows[:, size - size % 8 :], size % 256
    for word in (*(_word(rows, at) for at in range(0, size // 8 * 8, 8)), _word(last, 0)):
        state[3] = state[3] ^ word
        state = _sip_round(*_sip_round(*state))
        state[0] = state[0] ^ word
    state[2] = state[2] ^ np.uint64(255)
    for _ in range(4):
        state = _sip_round(*state)
    return state[0] ^ state[1] ^ state[2] ^ state[3]


def _sip_round(a, b, c, d):
    a, c = a + b, c + d
    b, d = _turned(b, 13, left=True) ^ a, _turned(d, 16, left=True) ^ c
    a = _turned(a, 32)
    c, a = c + b, a + d
    b, d = _turned(b, 17, left=True) ^ c, _turned(d, 21, left=True) ^ a
    return [a, b, _turned(c, 32), d]


__all__ = ["farmhash", "siphash"]
