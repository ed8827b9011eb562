// Texts to places in a vocabulary: one pass over the bytes, a hash table looked up where a term ends.
//
// Called from Python by ctypes, without XLA: strings do not reach a compiled program. The caller owns all memory.

#include <cstdint>
#include <cstring>

#define TEXT extern "C" __attribute__((visibility("default")))

namespace {

// What a byte may mean beside itself; the caller's `meaning` has one for each of the 256.
constexpr uint16_t DROP = 256, END = 258;  // and 257, a blank

constexpr uint64_t SEED = 0xCBF29CE484222325, PRIME = 0x100000001B3;  // FNV-1a, of Fowler, Noll and Vo

inline uint64_t step(uint64_t hash, uint8_t byte) { return (hash ^ byte) * PRIME; }

// All bits of the hash say something of all bytes.
inline uint64_t mixed(uint64_t hash) { return (hash ^ (hash >> 32)) * 0x9E3779B97F4A7C15; }

// Term i of the vocabulary is terms[ends[i] .. ends[i + 1]]. A slot is 0, or the upper half of the hash beside i + 1.
struct Table {
  const uint8_t* terms;
  const int64_t* ends;
  const uint64_t* slots;
  uint64_t mask;

  int32_t find(const uint8_t* term, int64_t size, uint64_t hash) const {
    for (uint64_t at = hash & mask;; at = (at + 1) & mask) {
      uint64_t slot = slots[at];
      if (slot == 0) return -1;
      if ((slot ^ hash) >> 32) continue;
      int64_t i = int64_t(uint32_t(slot)) - 1;
      if (ends[i + 1] - ends[i] == size && !std::memcmp(terms + ends[i], term, size)) return int32_t(i);
    }
  }
};

}  // namespace

// Fill the slots (zeros, a power of two of them, more than there are terms) for `count` terms.
TEXT void seriatim_text_table(const uint8_t* terms, const int64_t* ends, int64_t count, uint64_t* slots, int64_t room) {
  for (int64_t i = 0; i < count; ++i) {
    uint64_t hash = SEED;
    for (int64_t k = ends[i]; k < ends[i + 1]; ++k) hash = step(hash, terms[k]);
    hash = mixed(hash);
    uint64_t at = hash & uint64_t(room - 1);
    while (slots[at]) at = (at + 1) & uint64_t(room - 1);
    slots[at] = (hash >> 32 << 32) | uint64_t(i + 1);
  }
}

// The place of each term (its number in the table and `first`, or `unknown`), row by row, and how many each row has.
// `places` has room for a term in every second byte and one more, `term` for the longest.
TEXT int64_t seriatim_text_places(const uint8_t* text, int64_t size, const uint16_t* meaning, const uint8_t* terms,
                                  const int64_t* ends, const uint64_t* slots, int64_t room, int32_t first,
                                  int32_t unknown, uint8_t* term, int32_t* places, int64_t* lengths) {
  const Table table{terms, ends, slots, uint64_t(room - 1)};
  int64_t found = 0, begin = 0, length = 0;
  uint64_t hash = SEED;
  for (int64_t i = 0; i < size; ++i) {
    uint16_t byte = meaning[text[i]];
    if (byte < DROP) {
      term[length++] = uint8_t(byte);
      hash = step(hash, uint8_t(byte));
    } else if (byte != DROP) {
      if (length) {
        int32_t at = table.find(term, length, mixed(hash));
        places[found++] = at < 0 ? unknown : at + first;
        length = 0;
        hash = SEED;
      }
      if (byte == END) {
        *lengths++ = found - begin;
        begin = found;
      }
    }
  }
  return found;
}
