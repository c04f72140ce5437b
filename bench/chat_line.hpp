// The lines that chat_load.cpp sends and receives. The format is fixed, so reading a line takes
// comparisons but no search.
//
//     sent by a member    SSSSSSSSQQQQQQQQTTTTTTTTTTTTTTTT...filler...
//     distributed         [rRRRRRRRR] mSSSSSSSS: SSSSSSSSQQQQQQQQTTTTTTTTTTTTTTTT...filler...
//
// R is the room, S the sender, Q the number of the message (from 0 for each sender), T the time at
// which it was due, in nanoseconds since the start; all are hexadecimal. Rooms and senders are
// numbered from a base that differs between runs, so lines left over from another run are not
// mistaken for ours.
// SPDX-License-Identifier: MIT
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace bench {

static_assert(std::endian::native == std::endian::little, "the first character is the lowest byte");

/// Eight hexadecimal characters, in a register: the first in the lowest byte.
inline std::uint64_t hex_of(std::uint32_t value) noexcept {
  std::uint64_t nibbles = value;
  nibbles = (nibbles << 32 | nibbles >> 16) & 0x0000ffff'0000ffff;
  nibbles = (nibbles << 16 | nibbles >> 8) & 0x00ff00ff'00ff00ff;
  nibbles = (nibbles << 8 | nibbles >> 4) & 0x0f0f0f0f'0f0f0f0f;
  const std::uint64_t letters = ((nibbles + 0x0606060606060606) >> 4) & 0x0101010101010101;
  return nibbles + 0x3030303030303030 + letters * ('a' - '0' - 10);
}

/// The inverse of hex_of(). For any other text, returns a number whose hex_of() differs from it.
inline std::uint32_t value_of_hex(std::uint64_t text) noexcept {
  const std::uint64_t letters = (text >> 6) & 0x0101010101010101;
  std::uint64_t nibbles = (text & 0x0f0f0f0f0f0f0f0f) + 9 * letters;
  nibbles = (nibbles << 4 | nibbles >> 8) & 0x00ff00ff'00ff00ff;
  nibbles = (nibbles << 8 | nibbles >> 16) & 0x0000ffff'0000ffff;
  return static_cast<std::uint32_t>(nibbles << 16 | nibbles >> 32);
}

inline std::uint64_t load_eight(const char* from) noexcept {
  std::uint64_t eight = 0;
  std::memcpy(&eight, from, sizeof eight);
  return eight;
}
inline void store_eight(char* to, std::uint64_t eight) noexcept {
  std::memcpy(to, &eight, sizeof eight);
}

/// The name of a room or member: a letter and eight hexadecimal characters.
inline std::string name_of(char letter, std::uint32_t number) {
  std::string name(9, letter);
  store_eight(name.data() + 1, hex_of(number));
  return name;
}

/// The content of one distributed line.
struct chat_message {
  std::uint32_t sender;
  std::uint32_t sequence;
};

/// The parts of a line that all messages of one room have in common.
class chat_line {
 public:
  static constexpr std::size_t text_min = 32;  // Sender, number and time.

  chat_line(std::uint32_t room, std::size_t text_size)
      : model_("[" + name_of('r', room) + "] " + name_of('m', 0) + ": ") {
    static constexpr std::string_view filler = "the quick brown fox jumps over the lazy dog ";
    model_.append(text_min, '0');
    while (model_.size() < text_at + text_size) model_ += filler[model_.size() % filler.size()];
    model_ += '\n';
  }

  /// The length of a distributed line in bytes, with its LF.
  std::size_t size() const noexcept { return model_.size(); }

  /// Writes a message, due at `due_ns`, in the form that a member sends.
  void write(std::string& to, const chat_message& message, std::uint64_t due_ns) const {
    to.assign(model_, text_at);
    char* at = to.data();
    store_eight(at, hex_of(message.sender));
    store_eight(at + 8, hex_of(message.sequence));
    store_eight(at + 16, hex_of(static_cast<std::uint32_t>(due_ns >> 32)));
    store_eight(at + 24, hex_of(static_cast<std::uint32_t>(due_ns)));
  }

  /// Whether the size() bytes at `line` are a message of this room. Does not check that the sender
  /// exists; has_time() checks the time.
  bool read(const char* line, chat_message& message) const noexcept {
    const char* const text = line + text_at;
    const std::uint64_t sender = load_eight(line + nick_at);
    const std::uint64_t sequence = load_eight(text + 8);
    message = {value_of_hex(sender), value_of_hex(sequence)};
    return std::memcmp(line, model_.data(), nick_at) == 0 && sender == load_eight(text) &&
           hex_of(message.sender) == sender && hex_of(message.sequence) == sequence &&
           std::memcmp(line + nick_at + 8, model_.data() + nick_at + 8, 2) == 0 &&
           std::memcmp(text + text_min, model_.data() + text_at + text_min,
                       model_.size() - text_at - text_min) == 0;
  }

  /// Whether the message at `line` has the due time `due_ns`.
  static bool has_time(const char* line, std::uint64_t due_ns) noexcept {
    const char* const time = line + text_at + 16;
    return load_eight(time) == hex_of(static_cast<std::uint32_t>(due_ns >> 32)) &&
           load_eight(time + 8) == hex_of(static_cast<std::uint32_t>(due_ns));
  }

 private:
  static constexpr std::size_t nick_at = std::string_view("[r00000000] m").size();
  static constexpr std::size_t text_at = nick_at + std::string_view("00000000: ").size();

  std::string model_;
};

}  // namespace bench
